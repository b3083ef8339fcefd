"""The matrix runner: what it reads out of pytest's reports, and that it misses no test."""

import pytest

from tests.environments import RECIPES, ROOT, Environment
from tests.run import (
    DJANGOS,
    FAULTS,
    LAYOUTS,
    PROJECTS,
    RICHEST,
    STATE_MACHINE,
    STATEMENTS,
    USUAL_LAYOUTS,
    Case,
    Run,
    cases,
    closing_line,
    ran_nowhere,
    total,
)
from tests.settings import _LAYOUTS

SIDES = {"5.2": "mixed_reverse", "6.1": "mixed"}

JUNIT = """<testsuites><testsuite>
<testcase classname="tests.unit.test_a" name="test_ran" />
<testcase classname="tests.unit.test_a" name="test_skipped">
  <skipped type="pytest.skip" message="PostgreSQL alone" /></testcase>
<testcase classname="tests.unit.test_a" name="test_expected">
  <skipped type="pytest.xfail" message="known" /></testcase>
<testcase classname="" name="tests.unit.test_b">
  <skipped type="pytest.skip" message="no driver" /></testcase>
</testsuite></testsuites>"""


def run_of(*found):
    return Run(Environment("django61", ROOT, ()), "unit", "sqlite", [], cases=list(found))


def test_closing_line():
    """The last counting line of pytest is found, without its rule."""
    text = "==== FAILURES ====\n==== 1 failed, 2 passed in 3.10s ====\nmore\n"
    assert closing_line(text) == "1 failed, 2 passed in 3.10s"
    assert closing_line("== 9 passed in 65.00s (0:01:05) ==") == "9 passed in 65.00s (0:01:05)"
    assert closing_line("Traceback\nImportError") == ""


def test_total():
    """Counts are summed by kind, singular and plural together."""
    closings = ["1 failed, 2 passed, 1 error in 3.10s", "5 passed, 2 errors in 1.00s", "not run"]
    assert total(closings) == "3 errors, 1 failed, 7 passed"
    assert total(["not run"]) == "no tests"


def test_cases(tmp_path):
    """Skipped tests carry their reason; an expected failure counts as having run."""
    path = tmp_path / "junit.xml"
    path.write_text(JUNIT)
    assert list(cases(str(path))) == [
        Case("tests.unit.test_a.test_ran", None),
        Case("tests.unit.test_a.test_skipped", "PostgreSQL alone"),
        Case("tests.unit.test_a.test_expected", None),
        Case("tests.unit.test_b", "no driver"),
    ]
    assert list(cases(str(tmp_path / "missing.xml"))) == []


def test_ran_nowhere():
    """A test is named when no run ran it; one run is enough, for a module's tests too."""
    skipped = run_of(Case("m.test_x", "no"), Case("m.test_y", "never"), Case("n", "no driver"))
    ran = run_of(Case("m.test_x", None), Case("n.test_z", None))
    assert ran_nowhere([skipped, ran]) == ["m.test_y: never"]


def test_layouts_are_those_of_the_settings():
    """Every layout of the settings is in the matrix."""
    assert set(LAYOUTS) == set(RICHEST) | {"mixed_reverse"} == set(_LAYOUTS)
    assert set(DJANGOS.values()) <= set(RECIPES)
    assert set(USUAL_LAYOUTS) == set(FAULTS) == set(DJANGOS)
    # Every database with each Django, and on either side of a relation with one of them.
    assert all({"sqlite", one} == set(USUAL_LAYOUTS[django]) for django, one in SIDES.items())
    # Every fault on SQLite, and something of it on both servers.
    left_to_the_other = [STATEMENTS, STATE_MACHINE]
    ignored = [f"--ignore={path}" for path in left_to_the_other]
    assert FAULTS["5.2"] == {"sqlite": ["tests/faults", *ignored]}
    assert FAULTS["6.1"]["sqlite"] == left_to_the_other
    assert set(FAULTS["6.1"]) == {"sqlite", "mixed", "mixed_reverse"}


FOLDERS = ["unit", "integration", "oracle", "services", "faults", "multidb"]


@pytest.mark.parametrize("suite", FOLDERS)
def test_suites_exist(suite):
    """Each suite has tests."""
    assert list((ROOT / "tests" / suite).rglob("test_*.py"))


def test_no_test_is_outside_the_suites():
    """Every test module is in a folder that the matrix runs."""
    folders = {
        path.relative_to(ROOT / "tests").parts[0] for path in (ROOT / "tests").rglob("test_*.py")
    }
    assert folders <= set(FOLDERS)


def test_no_test_is_outside_the_projects():
    """Every test of ``tests/multidb`` is in a project that has settings to run it with."""
    root = ROOT / "tests" / "multidb"
    assert {path.relative_to(root).parts[0] for path in root.rglob("test_*.py")} == set(PROJECTS)
