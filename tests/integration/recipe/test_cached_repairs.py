"""Repairs beside django-cachalot: who read before them reads anew after them."""

import pytest
from django.contrib.auth.models import User

from sample_project.blog.models import Comment, Post
from xdbrel import relations
from xdbrel.integrity.repair import repair
from xdbrel.integrity.restore import restore
from xdbrel.integrity.scan import scan

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

GONE = 10**6


def read():
    """Return what is there of posts and comments, from the cache where it has that."""
    return (
        list(Post.objects.order_by("title").values_list("title", "author_id")),
        Comment.objects.count(),
    )


@pytest.mark.parametrize("policy", ["repoint", "quarantine"])
def test_repairs_are_seen(cached, settings, policy):
    """Rows that point elsewhere, that are gone with what hung on them, and that are back."""
    settings.XDBREL = {**settings.XDBREL, "CONFIRM_AFTER": 0, "MAX_ORPHAN_SHARE": 1}
    ada = User.objects.create(pk=1, username="ada")
    post = Post.objects.create(title="orphan", author_id=GONE)
    Comment.objects.create(post=post, author=ada)
    Post.objects.create(title="sound", author=ada)
    relation = relations.get("blog.Post.author")
    before = read()
    assert before[0] == [("orphan", GONE), ("sound", 1)]
    scan(relation)

    if policy == "repoint":
        repair(relation, policy, mapping={GONE: ada.pk})
        assert read() == ([("orphan", 1), ("sound", 1)], 1)
        return
    repair(relation, policy)
    assert read() == ([("sound", 1)], 0)
    User.objects.create(pk=GONE, username="back")
    assert restore(relation).rows == 2
    assert read() == before
