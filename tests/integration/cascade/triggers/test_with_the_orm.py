"""Deletes of the ORM's own where triggers stand: captured once, applied at once."""

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.db.models import Case, Value, When

from tests.apps.blog.models import Comment, Post
from tests.apps.codes.models import Note, Subject
from tests.apps.shop.models import Order, Review
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel import atomic
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.cascade.triggers.install import install, remove
from xdbrel.models import CascadeIntent
from xdbrel.testing import drain

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

Cause, Status = CascadeIntent.Cause, CascadeIntent.Status
RELATIONS = [
    "blog.Comment.author",
    "blog.Post.author",
    "blog.Post.editor",
    "shop.Order.customer",
    "shop.Profile.user",
    "shop.Review.author",
]


@pytest.fixture
def ada():
    user = User.objects.create(username="ada")
    post = Post.objects.create(author=user)
    Comment.objects.create(post=post, author=user)
    Review.objects.create(post=post)
    Order.objects.create(customer=user)
    return user


def nothing_is_left():
    return not any(model.objects.exists() for model in (Post, Comment, Review, Order))


def test_each_relation_is_captured_once(triggers, ada):
    """By its trigger, and the delete applies it as it would have applied its own intent."""
    result = ada.delete()
    assert result[1] == {
        "auth.User": 1,
        "blog.Post": 1,
        "blog.Comment": 1,
        "shop.Order": 1,
        "shop.Review": 1,
    }
    assert sorted(intent.relation for intent in written()) == RELATIONS
    assert {(i.cause, i.status, i.attempts) for i in written()} == {
        (Cause.TRIGGER, Status.APPLIED, 0)
    }
    assert result.wait(timeout=0) is True
    assert relay() == RelayResult()


def test_querysets_of_many(triggers):
    users = [User.objects.create(username=str(i)) for i in range(20)]
    Order.objects.bulk_create([Order(customer=user) for user in users])
    User.objects.all().delete()
    keys = sorted(key for i in written("shop.Order.customer") for key in i.keys)
    assert keys == [user.pk for user in users]
    assert {i.status for i in written()} == {Status.APPLIED}
    assert not Order.objects.exists()


def test_what_a_missing_trigger_has_not_written_is_written(capturing, ada):
    """Nothing is lost where somebody has dropped a trigger."""
    capturing()
    remove("default")
    ada.delete()
    assert sorted(intent.relation for intent in written()) == RELATIONS
    assert {(i.cause, i.status) for i in written()} == {(Cause.ORM, Status.APPLIED)}
    assert nothing_is_left()


def test_triggers_for_some_relations(capturing, ada):
    capturing(["shop.Order.customer"])
    ada.delete()
    assert sorted(intent.relation for intent in written()) == RELATIONS
    assert {i.relation: i.cause for i in written() if i.cause == Cause.TRIGGER} == {
        "shop.Order.customer": Cause.TRIGGER
    }
    assert nothing_is_left()


def test_triggers_where_sources_are_targets_themselves(capturing, ada):
    """The posts follow by keys alone; the reviews that hang on them are captured once too."""
    capturing()
    install("blog")
    ada.delete()
    assert [(i.cause, i.status) for i in written("shop.Review.post", using="blog")] == [
        (Cause.TRIGGER, Status.APPLIED)
    ]
    assert nothing_is_left()


def test_in_open_transactions(triggers, ada):
    """The block sees its own effect, and the triggers' intents are settled with both commits."""
    with atomic("default", "blog", "shop"):
        ada.delete()
        assert nothing_is_left()
        assert {i.status for i in written()} == {Status.PENDING}
    assert {(i.cause, i.status) for i in written()} == {(Cause.TRIGGER, Status.APPLIED)}


def test_a_rollback_leaves_nothing(triggers, ada):
    with pytest.raises(RuntimeError), transaction.atomic("default"):
        ada.delete()
        raise RuntimeError
    assert written() == []
    assert Order.objects.exists()
    User.objects.get(username="ada").delete()
    assert nothing_is_left()


def test_other_programs_before_and_after_in_one_transaction(triggers, ada):
    """What is deleted past the ORM belongs to nobody, and waits for the relay."""
    others = [User.objects.create(username=name) for name in ("bob", "cy")]
    for user in others:
        Order.objects.create(customer=user)
    with transaction.atomic("default"):
        run(f"DELETE FROM {table(User)} WHERE username = 'bob'")
        ada.delete()
        run(f"DELETE FROM {table(User)} WHERE username = 'cy'")
    orders = written("shop.Order.customer")
    assert [i.status for i in orders] == [Status.PENDING, Status.APPLIED, Status.PENDING]
    assert Order.objects.count() == 2
    relay()
    assert not Order.objects.exists()


@pytest.mark.skipif(
    connections["default"].vendor == "mysql",
    reason="MariaDB's own cascades fire no trigger, and its trigger cannot write to its table",
)
def test_what_the_database_deletes_besides_follows_at_once(triggers, ada):
    """Another user goes by a rule of the database's own: the same call takes their sources."""
    bob = User.objects.create(username="bob")
    Order.objects.create(customer=bob)
    with also_deleting("ada", "bob"):
        ada.delete()
    assert not User.objects.exists()
    assert not Order.objects.exists()
    assert {i.status for i in written()} == {Status.APPLIED}


class also_deleting:
    """A trigger of the project's own: when one user is deleted, so is another."""

    def __init__(self, one, other):
        self.one, self.other = one, other

    def __enter__(self):
        if connections["default"].vendor == "postgresql":
            run(
                "CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                f" DELETE FROM auth_user WHERE username = '{self.other}'; RETURN NULL; END $$"
            )
            run(
                "CREATE TRIGGER also AFTER DELETE ON auth_user FOR EACH ROW"
                f" WHEN (OLD.username = '{self.one}') EXECUTE FUNCTION also()"
            )
        else:
            run(
                "CREATE TRIGGER also AFTER DELETE ON auth_user"
                f" WHEN OLD.username = '{self.one}' BEGIN"
                f" DELETE FROM auth_user WHERE username = '{self.other}'; END"
            )

    def __exit__(self, *args):
        if connections["default"].vendor == "postgresql":
            run("DROP TRIGGER also ON auth_user")
            run("DROP FUNCTION also()")
        else:
            run("DROP TRIGGER also")


def test_keys_that_are_swapped_are_followed_once(triggers):
    """The ORM writes changes of keys itself: followed twice, a swap would be undone."""
    subjects = [Subject.objects.create(slug=slug) for slug in ("a", "b")]
    for subject in subjects:
        Note.objects.create(subject=subject, text=subject.slug)
    swapped = Case(When(slug="a", then=Value("b")), default=Value("a"))
    with transaction.atomic("default"):
        # No database swaps what is unique in one statement without deferring.
        Subject.objects.filter(slug="b").update(slug="c")
        Subject.objects.filter(slug="a").update(slug=swapped)
        Subject.objects.filter(slug="c").update(slug="a")
    assert {i.cause for i in written("codes.Note.subject")} == {Cause.ORM}
    drain()
    assert dict(Note.objects.values_list("text", "subject_id")) == {"a": "b", "b": "a"}
