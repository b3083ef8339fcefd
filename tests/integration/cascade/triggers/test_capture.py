"""What triggers write when rows go past the ORM, and that the sources then follow."""

import datetime
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.utils import timezone

from tests.apps.archive.models import Box, Entry, Shelf
from tests.apps.blog.models import Desk, Letter, Post, Quote, Translation, Visit
from tests.apps.codes.models import Currency, Note, Price, Rank, Subject
from tests.apps.people.models import (
    Badge,
    Country,
    Day,
    Device,
    Language,
    Member,
    Person,
    PersonProxy,
    Rate,
)
from tests.apps.shop.models import Invoice, Order, Profile, Review
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel import keys, relations
from xdbrel.cascade.relay import relay
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

VENDOR = connections["default"].vendor
ROW_LEVEL = VENDOR != "postgresql"


def users(*names):
    return [User.objects.create(username=name) for name in names]


def test_every_column_of_an_intent(triggers):
    """A trigger's intent is what a delete's is, but for its cause, its owner and its home."""
    (ada,) = users("ada")
    before = timezone.now() - timedelta(seconds=1)
    assert run(f"DELETE FROM {table(User)}") == 1
    (intent,) = written("blog.Post.author")
    assert intent.keys == [ada.pk]
    assert intent.new_keys is None
    assert intent.source_alias == ""
    assert intent.deletion == ""
    assert intent.cause == CascadeIntent.Cause.TRIGGER
    assert intent.status == CascadeIntent.Status.PENDING
    assert intent.attempts == 0
    assert intent.claimed_by == ""
    assert intent.last_error == ""
    assert intent.applied_at is None
    assert before < intent.created_at <= timezone.now()
    assert before < intent.available_at <= timezone.now()


def test_times_without_time_zones(capturing, settings):
    """Where Django stores local times, a trigger does; it is never ahead of Django's."""
    settings.TIME_ZONE = "America/New_York"
    settings.USE_TZ = False
    capturing()
    users("ada")
    run(f"DELETE FROM {table(User)}")
    for intent in written():
        assert intent.created_at <= timezone.now()
        # MariaDB without its tables of zones knows no summer time.
        assert intent.created_at > timezone.now() - timedelta(hours=1, minutes=1)
        assert intent.available_at == intent.created_at
    assert relay().failed == 0
    assert not CascadeIntent.objects.filter(status="pending").exists()


def test_all_relations_of_a_target(triggers):
    """One intent for each relation that has to follow; none for those that refuse or ignore."""
    (ada,) = users("ada")
    run(f"DELETE FROM {table(User)} WHERE id = %s", [ada.pk])
    assert sorted(intent.relation for intent in written()) == [
        "blog.Comment.author",
        "blog.Post.author",
        "blog.Post.editor",
        "shop.Order.customer",
        "shop.Profile.user",
        "shop.Review.author",
    ]


def test_sources_follow(triggers):
    """The relay applies a trigger's intents; sources of living targets stay."""
    ada, bob = users("ada", "bob")
    for user in (ada, bob):
        Post.objects.create(author=user, editor=bob, title=user.username)
        Order.objects.create(customer=user)
        Review.objects.create(author=user)
        Profile.objects.create(user=user)
        Invoice.objects.create(customer=user)
    Post.objects.create(author=bob, editor=ada, title="edited")
    run(f"DELETE FROM {table(User)} WHERE username = 'ada'")
    result = relay()
    assert result.failed == 0
    assert set(Post.objects.values_list("title", "author", "editor")) == {
        ("bob", bob.pk, bob.pk),
        ("edited", bob.pk, None),
    }
    assert Order.objects.get().customer_id == bob.pk
    assert Profile.objects.get().user_id == bob.pk
    assert set(Review.objects.values_list("author", flat=True)) == {None, bob.pk}
    # PROTECT was ignored by whoever wrote SQL: the source is kept, for a scan to find.
    assert set(Invoice.objects.values_list("customer", flat=True)) == {ada.pk, bob.pk}


def test_one_relation_alone(capturing):
    """A list of handles captures these."""
    capturing(["shop.Order.customer"])
    users("ada")
    run(f"DELETE FROM {table(User)}")
    assert [intent.relation for intent in written()] == ["shop.Order.customer"]


def test_raw_delete_of_a_queryset(triggers):
    """What Django deletes without collecting is captured too."""
    (ada,) = users("ada")
    Order.objects.create(customer=ada)
    with connections["default"].cursor() as cursor:
        cursor.execute(f"DELETE FROM {table(User)} WHERE id IN (%s)", [ada.pk])
    assert relay().failed == 0
    assert not Order.objects.exists()


def test_many_rows(capturing):
    """A statement's keys share intents of bounded size where triggers see statements."""
    capturing(["shop.Order.customer"], INTENT_KEYS=3)
    User.objects.bulk_create(User(username=f"u{n}") for n in range(7))
    everyone = set(User.objects.values_list("pk", flat=True))
    run(f"DELETE FROM {table(User)}")
    found = [intent.keys for intent in written()]
    assert {key for some in found for key in some} == everyone
    assert sum(map(len, found)) == 7
    assert sorted(map(len, found)) == ([1] * 7 if ROW_LEVEL else [1, 3, 3])


def test_no_rows_no_intents(triggers):
    """A statement that meets no row writes nothing."""
    assert run(f"DELETE FROM {table(User)}") == 0
    assert written() == []


def test_rolled_back(triggers):
    """An intent vanishes with the delete that it speaks of; with its savepoint as well."""
    users("ada", "bob")
    with transaction.atomic():
        run(f"DELETE FROM {table(User)} WHERE username = 'ada'")
        transaction.set_rollback(True)
    assert written() == []
    with transaction.atomic():
        with transaction.atomic():
            run(f"DELETE FROM {table(User)} WHERE username = 'ada'")
            transaction.set_rollback(True)
        run(f"DELETE FROM {table(User)} WHERE username = 'bob'")
    assert len(written("blog.Post.author")) == 1
    assert User.objects.get().username == "ada"


KEYS = [
    (Country, {"code": 'ñ"'}, Visit, "country", "code"),
    (Country, {"code": "\\'"}, Visit, "country", "code"),
    (Device, {"id": uuid.UUID("0a1b2c3d-0000-4fff-8000-00000000abcd")}, Visit, "device", "id"),
    (Badge, {"number": 2**31 - 1}, Visit, "badge", "number"),
    (Rate, {"value": Decimal("1.50")}, Quote, "rate", "value"),
    (Rate, {"value": Decimal("-123456.07")}, Quote, "rate", "value"),
    (Rate, {"value": Decimal("0.00")}, Quote, "rate", "value"),
    (Day, {"date": datetime.date(2024, 2, 29)}, Quote, "day", "date"),
    (Day, {"date": datetime.date(987, 1, 3)}, Quote, "day", "date"),
    (Shelf, {"number": -(2**62)}, Entry, "shelf", "number"),
    (Shelf, {"number": 2**62 + 1, "code": 5}, Entry, "coded", "code"),
]


@pytest.mark.parametrize(("target", "values", "source", "name", "key"), KEYS)
def test_keys_of_each_type(target, values, source, name, key, triggers):
    """A key is written as keys.encode writes it, and the sources follow."""
    field = source._meta.get_field(name)
    stored = target.objects.create(**values)
    other = source.objects.create()
    source.objects.create(**{name: stored})
    assert run(f"DELETE FROM {table(target)}") == 1
    (intent,) = written(relations.handle_of(field))
    stored_key = target._meta.get_field(key).to_python(values[key])
    assert intent.keys == keys.encode([stored_key], field.target_field)
    assert keys.decode(intent.keys, field.target_field) == [stored_key]
    assert relay().failed == 0
    assert source.objects.get() == other


def test_a_target_without_a_key(triggers):
    """NULL is no key: nobody points at it."""
    Shelf.objects.create(number=1, code=None)
    run(f"DELETE FROM {table(Shelf)}")
    assert written("archive.Entry.coded") == []
    assert [intent.keys for intent in written("archive.Entry.shelf")] == [[1]]


def test_multi_table_parents(triggers):
    """The trigger stands on the table whose column the key is: the child's or the parent's."""
    member = Member.objects.create(name="ada")
    Visit.objects.create(member=member)
    Letter.objects.create(recipient_id=member.pk)
    run(f"DELETE FROM {table(Member)}")
    assert [intent.keys for intent in written()] == [[member.pk]]
    assert written()[0].relation == "blog.Visit.member"
    assert relay().failed == 0
    assert not Visit.objects.exists()
    assert Letter.objects.exists()
    run(f"DELETE FROM {table(Person)}")
    assert {intent.keys[0] for intent in written("blog.Letter.recipient")} == {member.pk}
    assert relay().failed == 0
    assert not Letter.objects.exists()


def test_a_column_for_two_models(triggers):
    """Relations to a model, its parent and a proxy are served by the table of each."""
    box = Box.objects.create(number=4, code=9)
    Entry.objects.create(box=box)
    Entry.objects.create(proxied_id=4)
    Entry.objects.create(coded_id=9)
    kept = Entry.objects.create()
    run(f"DELETE FROM {table(Box)}")
    run(f"DELETE FROM {table(Shelf)}")
    assert relay().failed == 0
    assert Entry.objects.get() == kept


def test_a_proxy_is_its_model(triggers):
    person = Person.objects.create(name="ada")
    Letter.objects.create(recipient=Person.objects.create(name="bob"), sender_id=person.pk)
    run(f"DELETE FROM {table(PersonProxy)} WHERE id = %s", [person.pk])
    assert relay().failed == 0
    assert not Letter.objects.exists()


def test_one_that_does_nothing(triggers):
    """DO_NOTHING is not captured; SET_NULL beside it is."""
    person = Person.objects.create(name="ada")
    Desk.objects.create(owner=person, lender=person)
    run(f"DELETE FROM {table(Person)}")
    assert relay().failed == 0
    desk = Desk.objects.get()
    assert desk.owner_id is None
    assert desk.lender_id == person.pk


def test_a_target_that_lives_again(triggers):
    """A key that is in use when the intent is applied keeps its sources."""
    ada, bob = users("ada", "bob")
    Order.objects.create(customer=ada)
    Order.objects.create(customer=bob)
    run(f"DELETE FROM {table(User)}")
    User.objects.create(pk=bob.pk, username="cy")
    assert relay().failed == 0
    assert [order.customer.username for order in Order.objects.all()] == ["cy"]


def test_targets_in_another_home(capturing):
    """Triggers stand in each home; the intents beside them."""
    capturing(using="blog")
    post = Post.objects.create(title="one", author_id=users("ada")[0].pk)
    Review.objects.create(post=post)
    run(f"DELETE FROM {table(Post, 'blog')}", using="blog")
    assert written() == []
    assert written("shop.Review.post", using="blog")[0].keys == [post.pk]
    assert relay().failed == 0
    assert not Review.objects.exists()


def test_a_key_change(triggers):
    """A key that becomes another is written down with it; what stays is not. Sources follow."""
    ada = Subject.objects.create(slug="ada")
    Subject.objects.create(slug="bob")
    Note.objects.create(subject=ada)
    run(f"UPDATE {table(Subject)} SET slug = 'ADA' WHERE slug = 'ada'")
    run(f"UPDATE {table(Subject)} SET slug = slug")
    (intent,) = written("codes.Note.subject")
    assert (intent.keys, intent.new_keys) == (["ada"], ["ADA"])
    assert intent.cause == CascadeIntent.Cause.TRIGGER
    assert relay().failed == 0
    assert Note.objects.get().subject == Subject.objects.get(slug="ADA")


def test_only_relations_that_follow_are_told_of_a_key_change(triggers):
    """What ``on_update`` protects, SQL has changed all the same: a scan finds the sources."""
    Subject.objects.create(slug="ada")
    run(f"UPDATE {table(Subject)} SET slug = 'eve'")
    assert {intent.relation for intent in written()} == {
        "codes.Note.subject",
        "codes.Wallet.subject",
    }
    Badge.objects.create(number=1)
    run(f"UPDATE {table(Badge)} SET number = 2")
    assert written("blog.Visit.badge") == []


def test_a_change_of_a_primary_key(triggers):
    Currency.objects.create(code="dem")
    Price.objects.create(currency_id="dem")
    run(f"UPDATE {table(Currency)} SET code = 'EUR'")
    (intent,) = written("codes.Price.currency")
    assert (intent.keys, intent.new_keys) == (["dem"], ["EUR"])
    assert relay().failed == 0
    assert Price.objects.get().currency_id == "EUR"


def test_a_key_that_goes_missing(triggers):
    """The target is there still, and has no key any more."""
    subject = Subject.objects.create(slug="ada", number=5)
    Rank.objects.create(subject=subject)
    run(f"UPDATE {table(Subject)} SET number = NULL")
    (intent,) = written("codes.Rank.subject")
    assert (intent.keys, intent.new_keys) == ([5], [None])
    run(f"UPDATE {table(Subject)} SET number = 6")
    assert len(written("codes.Rank.subject")) == 1
    assert relay().failed == 0
    assert Rank.objects.get().subject_id is None


def test_saving_changes_no_key(triggers):
    """A save that writes the same key writes no intent."""
    language = Language.objects.create(code="de")
    Translation.objects.create(language=language)
    language.save()
    assert written() == []
