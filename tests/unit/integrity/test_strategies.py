"""The parts of strategies and ends that need no database."""

import pytest
from django.db import models

from xdbrel import relations
from xdbrel.integrity.exceptions import UnknownStrategy
from xdbrel.integrity.reading import ends
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.scanning import planner
from xdbrel.integrity.scanning.strategies import STRATEGIES
from xdbrel.integrity.scanning.strategies.windows import NARROW, parted


@pytest.mark.parametrize(
    ("gap", "narrow"),
    [
        ((3, 4), [4]),
        ((-2, 0), [-1, 0]),
        ((0, NARROW), list(range(1, NARROW + 1))),
        ((0, NARROW + 1), None),
        ((None, 5), None),
        ((5, None), None),
        ((None, None), None),
    ],
)
def test_gaps_are_parted_by_width(gap, narrow):
    """A gap is probed key by key up to a width, as a range beyond it or without a bound."""
    within = KeyRange(*gap)
    keys, ranges = parted([within])
    assert keys == (narrow or [])
    assert ranges == ([within] if narrow is None else [])


class Shifted(models.IntegerField):
    """Values that are not in the column what they are in Python."""

    def from_db_value(self, value, expression, connection):
        return None if value is None else value - 1000

    def get_prep_value(self, value):
        return None if value is None else value + 1000


class Labelled(models.IntegerField):
    """A subclass that changes nothing of its values."""

    description = "an integer with a label"


@pytest.mark.parametrize(
    ("field", "integer"),
    [
        (models.IntegerField(), True),
        (models.PositiveBigIntegerField(), True),
        (models.SmallAutoField(primary_key=True), True),
        (Labelled(), True),
        (Shifted(), False),
        (models.DecimalField(), False),
        (models.CharField(), False),
        (models.UUIDField(), False),
    ],
)
def test_what_counts_as_an_integer_key(field, integer):
    """Gaps need columns whose values are the keys: a field that converts them has others."""
    assert ends.says_integer(field) is integer


def test_every_strategy_is_known_by_its_function_name():
    assert {name: way.__name__ for name, way in STRATEGIES.items()} == {
        "gaps": "gaps",
        "bitmap": "bitmap",
        "merge": "merge",
        "push": "push",
    }


def test_unknown_strategy_without_a_near_one():
    source, target = ends.of(relations.get("archive.Entry.shelf"))
    with pytest.raises(UnknownStrategy) as raised:
        planner.validate("hash", source, target)
    known = ("bitmap", "gaps", "merge", "push")
    assert str(raised.value) == (
        "There is no scan strategy 'hash'. Known are bitmap, gaps, merge, push."
    )
    assert (raised.value.name, raised.value.known) == ("hash", known)
