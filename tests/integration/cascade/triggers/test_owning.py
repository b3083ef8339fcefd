"""The ORM's own deletes: what triggers write for them is claimed, and nothing is lost."""

import sqlite3
import uuid

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError, connections, transaction
from django.db.transaction import TransactionManagementError
from django.utils import timezone

from tests.apps.blog.models import Post, Visit
from tests.apps.codes.models import Note, Subject
from tests.apps.people.models import Device
from tests.apps.shop.models import Order
from tests.integration.cascade.triggers.conftest import run, table, written
from xdbrel.cascade.relay import RelayResult, relay
from xdbrel.cascade.triggers.owning import adopt, missing, owning
from xdbrel.models import CascadeIntent, PausedRelation

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

VENDOR = connections["default"].vendor
CUSTOMER = Order._meta.get_field("customer")
AUTHOR = Post._meta.get_field("author")


def users(*names):
    return [User.objects.create(username=name) for name in names]


def delete(*chosen):
    for user in chosen:
        run(f"DELETE FROM {table(User)} WHERE id = %s", [user.pk])


def owners():
    return {intent.claimed_by for intent in written()}


def test_adopted_intents_are_claimed(triggers):
    """They belong to the token for a while, and no relay takes them."""
    (ada,) = users("ada")
    Order.objects.create(customer=ada)
    with transaction.atomic(), owning("default", "mine", "began"):
        delete(ada)
        adopted = adopt("default", "mine")
    assert [intent.pk for intent in adopted] == [intent.pk for intent in written()]
    assert {intent.relation for intent in adopted} >= {"shop.Order.customer", "blog.Post.author"}
    for intent in (*adopted, *written()):
        assert intent.claimed_by == "mine"
        assert intent.deletion == "began"
        assert intent.attempts == 0
        assert intent.available_at > timezone.now()
        assert intent.status == CascadeIntent.Status.PENDING
    assert relay() == RelayResult()
    assert Order.objects.exists()


def test_what_others_write_is_not_adopted(triggers):
    """Before the block, after it, and by another token."""
    ada, bob, cy = users("ada", "bob", "cy")
    with transaction.atomic():
        delete(ada)
        with owning("default", "mine"):
            delete(bob)
            adopted = adopt("default", "mine")
        delete(cy)
    assert {key for intent in adopted for key in intent.keys} == {bob.pk}
    by_owner = {}
    for intent in written():
        by_owner.setdefault(intent.claimed_by, set()).update(intent.keys)
    assert by_owner == {"": {ada.pk, cy.pk}, "mine": {bob.pk}}
    assert adopt("default", "yours") == []


def test_blocks_inside_one_another(triggers):
    """The inner one takes over and gives back."""
    ada, bob, cy = users("ada", "bob", "cy")
    with transaction.atomic(), owning("default", "outer"):
        delete(ada)
        if VENDOR == "sqlite":
            # What is claimed at the end has to be, before somebody else begins.
            adopt("default", "outer")
        with owning("default", "inner"):
            delete(bob)
            inner = adopt("default", "inner")
        delete(cy)
        outer = adopt("default", "outer")
    assert {key for intent in inner for key in intent.keys} == {bob.pk}
    assert {key for intent in outer for key in intent.keys} == {ada.pk, cy.pk}


def test_nothing_is_owned_after_a_rollback(triggers):
    """Whatever ends the block, what comes next on the connection is nobody's."""
    ada, bob = users("ada", "bob")
    with pytest.raises(IntegrityError), transaction.atomic(), owning("default", "mine"):
        delete(ada)
        User.objects.create(username="bob")
    assert written() == []
    delete(ada)
    assert owners() == {""}
    CascadeIntent.objects.all().delete()
    with transaction.atomic():
        with pytest.raises(LookupError), transaction.atomic(), owning("default", "mine"):
            delete(bob)
            raise LookupError
        delete(bob)
        assert adopt("default", "mine") == []
    assert owners() == {""}


def test_nothing_is_owned_after_an_error_that_is_caught_late(triggers):
    """The transaction can only be rolled back, and the session is as before all the same."""
    (ada,) = users("ada")
    with transaction.atomic():
        with pytest.raises(IntegrityError), owning("default", "mine"):
            User.objects.create(username="ada")
        transaction.set_rollback(True)
    delete(ada)
    assert owners() == {""}


def test_rolled_back_inside_the_block(triggers):
    """A savepoint takes its intents along, and the block goes on."""
    ada, bob = users("ada", "bob")
    with transaction.atomic(), owning("default", "mine"):
        with transaction.atomic():
            delete(ada)
            transaction.set_rollback(True)
        delete(bob)
        adopted = adopt("default", "mine")
    assert {key for intent in adopted for key in intent.keys} == {bob.pk}


def test_outside_a_transaction():
    """There is nothing that could hold the rows and their intents together."""
    with (
        pytest.raises(
            TransactionManagementError,
            match=r"^What triggers write in 'default' belongs to somebody for the length of a "
            r"transaction, and none is open: enter transaction\.atomic\(using='default'\) first\.",
        ),
        owning("default", "mine"),
    ):
        pass


@pytest.mark.skipif(VENDOR != "sqlite", reason="where one connection writes at a time")
def test_the_block_holds_the_lock(tmp_path, aliases):
    """Nobody else's intents come between the mark and the end."""
    path = tmp_path / "one.sqlite3"
    alias = aliases.define("file", NAME=str(path), OPTIONS={"timeout": 0})
    aliases.connect(alias)
    with connections[alias].schema_editor() as editor:
        for model in (CascadeIntent, PausedRelation):
            editor.create_model(model)
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        with (
            transaction.atomic(using=alias),
            owning(alias, "mine"),
            pytest.raises(sqlite3.OperationalError, match="database is locked"),
        ):
            other.execute("DELETE FROM xdbrel_pausedrelation")
        other.execute("DELETE FROM xdbrel_pausedrelation")
    finally:
        other.close()


def test_missing(capturing):
    """What no trigger covers is left for the caller, the rest is not written twice."""
    capturing(["shop.Order.customer"])
    ada, bob = users("ada", "bob")
    with transaction.atomic(), owning("default", "mine"):
        delete(ada)
        adopted = adopt("default", "mine")
    planned = {
        (CUSTOMER, "shop"): [ada.pk, bob.pk],
        (CUSTOMER, "blog"): [ada.pk],
        (AUTHOR, "blog"): [ada.pk],
    }
    assert missing(planned, adopted) == {
        (CUSTOMER, "shop"): [bob.pk],
        (CUSTOMER, "blog"): [ada.pk],
        (AUTHOR, "blog"): [ada.pk],
    }
    assert missing({(CUSTOMER, "shop"): [ada.pk, str(ada.pk)]}, adopted) == {}
    assert missing(planned, []) == planned


def test_missing_of_other_types(triggers):
    """Keys are compared as values, however either side writes them."""
    key = uuid.uuid4()
    Device.objects.create(id=key)
    with transaction.atomic(), owning("default", "mine"):
        run(f"DELETE FROM {table(Device)}")
        adopted = adopt("default", "mine")
    device = Visit._meta.get_field("device")
    assert missing({(device, "blog"): [key, key.hex, str(key)]}, adopted) == {}
    assert missing({(device, "blog"): [uuid.uuid4()]}, adopted) != {}


def test_a_key_change_covers_no_deletion(triggers):
    """A target whose key became another was not deleted."""
    Subject.objects.create(slug="ada")
    with transaction.atomic(), owning("default", "mine"):
        run(f"UPDATE {table(Subject)} SET slug = 'eve'")
        adopted = adopt("default", "mine")
    assert adopted
    field = Note._meta.get_field("subject")
    assert missing({(field, "blog"): ["ada"]}, adopted) == {(field, "blog"): ["ada"]}


@pytest.mark.skipif(VENDOR != "mysql", reason="MariaDB's variables outlive transactions")
def test_no_variable_is_left(triggers):
    (ada,) = users("ada")
    with transaction.atomic(), owning("default", "mine"):
        delete(ada)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT @xdbrel_token, @xdbrel_deletion")
        assert cursor.fetchone() == (None, None)
