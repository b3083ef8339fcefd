"""Keys as bits."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.integrity.reading.words import BITS, FULL, Words


def made(base, last, there):
    bits = {}
    for key in there:
        number, bit = divmod(key, BITS)
        bits[number] = bits.get(number, 0) | 1 << bit
    return Words(base, last, bits)


@given(st.integers(-(2**63), 2**62), st.integers(0, 300), st.data())
def test_words_are_sets_of_keys(base, size, data):
    """Keys, gaps and differences are those of the sets, wherever words begin and end."""
    last = base + size
    keys = st.integers(base, last)
    there, other = data.draw(st.sets(keys)), data.draw(st.sets(keys))
    words = made(base, last, there)
    assert words.keys() == sorted(there)
    assert len(words) == len(there)
    assert words.top() == max(there, default=base - 1)
    assert words.without(made(base, last, other)).keys() == sorted(there - other)
    gaps = list(words.gaps())
    missing = [key for gap in gaps for key in range(gap.after + 1, gap.upto + 1)]
    assert missing == sorted({*range(base, last + 1)} - there)
    assert all(gap.upto + 1 < following.after + 1 for gap, following in pairwise(gaps))


def test_runs_across_words():
    """A gap that ends one word and begins the next is one."""
    words = Words(0, 3 * BITS - 1, {0: FULL >> 2, 2: FULL & ~0b111})
    assert list(words.gaps()) == [KeyRange(BITS - 3, 2 * BITS + 2)]
    assert list(Words(0, 9, {}).gaps()) == [KeyRange(-1, 9)]
    assert list(Words(0, BITS - 1, {0: FULL}).gaps()) == []
