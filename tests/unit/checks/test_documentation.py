"""Each finding has one id, a section in the documentation and a test of its name."""

import re
from pathlib import Path

from xdbrel import checks

ROOT = Path(__file__).parents[3]
ID = re.compile(r"\bxdbrel\.([EW]\d{3})\b")


def texts(folder, pattern):
    return "\n".join(path.read_text() for path in sorted((ROOT / folder).rglob(pattern)))


def ids_of_the_checks():
    return set(ID.findall(texts("xdbrel/checks", "*.py")))


def test_every_id_has_a_section():
    """docs/checks.md has one section for each id, in their order within a subject."""
    sections = re.findall(r"^### xdbrel\.([EW]\d{3})$", texts("docs", "checks.md"), re.MULTILINE)
    assert set(sections) == ids_of_the_checks()
    assert [section[1:] for section in sections] == sorted(section[1:] for section in sections)


def test_every_id_has_a_test():
    """A test is named after each id."""
    tests = texts("tests", "test_*.py").lower()
    assert [one for one in ids_of_the_checks() if f"def test_{one.lower()}" not in tests] == []


def test_the_package_says_where_each_is():
    """The numbers that the package's docstring gives hold in each of its modules."""
    ranges = re.findall(r"``(\w+)`` \((\d{3})-(\d{3})\)", checks.__doc__)
    assert len(ranges) == 14
    for module, first, last in ranges:
        found = {one[1:] for one in ID.findall(texts("xdbrel/checks", f"{module}.py"))}
        assert (min(found), max(found)) == (first, last), module
