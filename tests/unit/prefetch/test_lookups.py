"""Lookups by depth: what is followed, and by which lookup."""

import pytest
from django.db.models import Prefetch

from tests.apps.blog.models import Post
from xdbrel.prefetch.lookups import branches, normalized


def test_branches_are_in_the_order_of_their_first_mention():
    """Lookups with a common beginning are one branch."""
    found = branches(normalized(["b__x", "a", "b__y", "b", "c"]), 0)
    assert [branch.to for branch in found] == ["b", "a", "c"]
    assert [one.to for one in found[0].rest] == [("b", "x"), ("b", "y")]
    assert [branch.asked is not None for branch in found] == [True, True, True]


def test_what_is_only_passed_through_need_not_be_prefetched():
    """The first lookup that passes is named in messages."""
    (branch,) = branches(normalized(["a__b", "a__c"]), 0)
    assert branch.asked is None
    assert branch.given == "a__b"
    assert branch.alone().prefetch_to == "a"


def test_a_prefetch_object_in_a_path():
    """At its own depth it gives queryset and attribute, before that nothing."""
    wanted = normalized([Prefetch("a__b", Post.objects.none(), to_attr="c")])
    (first,) = branches(wanted, 0)
    assert (first.through, first.to, first.querysets, first.as_attr) == ("a", "a", None, False)
    (second,) = branches(first.rest, 1)
    assert (second.through, second.to, second.path) == ("b", "c", "a__c")
    assert second.as_attr
    assert len(second.querysets) == 1
    alone = second.alone()
    assert (alone.prefetch_through, alone.prefetch_to, alone.to_attr) == ("b", "c", "c")


def test_lookups_below_others():
    """Automatic lookups are seen from the outermost objects too."""
    (wanted,) = normalized([Prefetch("x", to_attr="y")], below="a__b", automatic=True)
    assert wanted.through == ("a", "b", "x")
    assert wanted.to == ("a", "b", "y")
    (branch,) = branches([wanted], 2)
    assert branch.automatic


def test_a_branch_is_automatic_only_while_nobody_asks_for_it():
    """A lookup of the caller's own counts more."""
    wanted = [*normalized(["a"], automatic=True), *normalized(["a__b"])]
    (branch,) = branches(wanted, 0)
    assert not branch.automatic


def test_a_second_queryset_is_refused():
    """The path is in the message."""
    wanted = normalized(["a__b", Prefetch("a__b", Post.objects.none())])
    (branch,) = branches(wanted, 0)
    with pytest.raises(ValueError, match=r"^'a__b' lookup was already seen with a different"):
        branches(branch.rest, 1)
