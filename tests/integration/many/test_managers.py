"""The managers on both sides: what they read and write, and where."""

import pytest
from asgiref.sync import async_to_sync
from django.db import connections, transaction
from django.db.models.signals import m2m_changed

from tests.apps.clubs.models import Club, Membership, Reader, Topic
from xdbrel import atomic
from xdbrel.exceptions import MissingTarget
from xdbrel.testing import count_queries

pytestmark = pytest.mark.django_db(databases="__all__")

MISSING = 987654


def slugs(queryset):
    return sorted(queryset.values_list("slug", flat=True))


@pytest.fixture(params=["readers", "patrons", "guests"])
def name(request):
    """Rows in between beside the club, in a third database, and verified."""
    return request.param


def test_add_remove_set_clear(club, readers, name):
    ada, bob, cyd = readers
    manager = getattr(club, name)
    manager.add(ada, bob.pk)
    manager.add(ada)
    assert slugs(manager) == ["ada", "bob"]
    manager.remove(ada)
    assert slugs(manager) == ["bob"]
    manager.set([bob, cyd])
    assert slugs(manager) == ["bob", "cyd"]
    manager.set([ada], clear=True)
    assert slugs(manager) == ["ada"]
    manager.clear()
    assert slugs(manager) == []


def test_the_other_side(club, readers, name):
    ada, bob, _ = readers
    back = CLUBS[name]
    other = Club.objects.create(name="bridge")
    getattr(ada, back).add(club, other)
    getattr(bob, back).set([club])
    assert slugs(getattr(club, name)) == ["ada", "bob"]
    assert [found.name for found in getattr(ada, back).all()] == ["bridge", "chess"]
    getattr(ada, back).remove(other)
    assert getattr(ada, back).count() == 1
    getattr(ada, back).clear()
    assert slugs(getattr(club, name)) == ["bob"]


def test_rows_are_where_they_live(club, readers):
    ada = readers[0]
    for name, alias in (("readers", "blog"), ("patrons", "shop"), ("guests", "blog")):
        getattr(club, name).add(ada)
        through = getattr(Club, name).through
        assert through.objects.db == alias
        with connections[alias].cursor() as cursor:
            cursor.execute(f"SELECT club_id, reader_id FROM {through._meta.db_table}")
            assert cursor.fetchall() in ([(club.pk, ada.pk)], ((club.pk, ada.pk),))
    ada.likes.add(club)
    assert Reader.likes.through.objects.db == "default"
    assert club.liked_by.get() == ada


def test_create_and_its_like_make_objects_in_their_own_home(club):
    dee = club.readers.create(slug="dee")
    assert dee._state.db == "default"
    eve, created = club.readers.get_or_create(slug="eve")
    assert (eve._state.db, created) == ("default", True)
    assert club.readers.get_or_create(slug="eve") == (eve, False)
    fay, created = club.readers.update_or_create(slug="fay", defaults={"age": 7})
    assert (fay._state.db, created) == ("default", True)
    club.readers.update_or_create(slug="fay", defaults={"age": 8})
    assert slugs(club.readers) == ["dee", "eve", "fay"]
    assert Reader.objects.get(slug="fay").age == 8
    darts = dee.clubs.create(name="darts")
    assert darts._state.db == "blog"
    assert sorted(found.name for found in dee.clubs.all()) == ["chess", "darts"]


def test_async_twins(club, readers):
    async def use():
        await club.readers.aadd(*readers)
        await club.readers.aremove(readers[0])
        await club.readers.aset(readers[:1])
        await club.readers.acreate(slug="dee")
        await club.readers.aget_or_create(slug="eve")
        await club.readers.aupdate_or_create(slug="fay", defaults={"age": 3})
        found = [reader.slug async for reader in club.readers.all()]
        await club.readers.aclear()
        return found, await club.readers.acount()

    assert async_to_sync(use)() == (["ada", "dee", "eve", "fay"], 0)


def test_the_side_that_the_rows_are_with_takes_one_query(club, readers):
    club.readers.add(*readers)
    with count_queries() as counted:
        assert list(readers[0].clubs.all()) == [club]
    assert dict(counted) == {"default": 0, "blog": 1, "shop": 0}
    with count_queries() as counted:
        club.readers.remove(readers[0])
        club.readers.add(readers[0])
    assert dict(counted) == {"default": 0, "blog": 2, "shop": 0}


@pytest.mark.parametrize("read", ["all", "count", "exists"])
def test_the_other_side_asks_for_the_keys_once(club, readers, name, read):
    manager = getattr(club, name)
    manager.set(readers)
    with count_queries() as counted:
        found = getattr(manager, read)()
        found = len(found) if read == "all" else found
    assert found == {"exists": True}.get(read, 3)
    assert counted[{"patrons": "shop"}.get(name, "blog")] == 1


def test_symmetrical(club):
    bridge, darts = Club.objects.create(name="bridge"), Club.objects.create(name="darts")
    club.friends.add(bridge, darts)
    assert list(bridge.friends.all()) == [club]
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM clubs_club_friends")
        assert cursor.fetchone() == (4,)
    bridge.friends.remove(club)
    assert list(club.friends.all()) == [darts]
    club.friends.clear()
    assert not darts.friends.exists()


def test_recursive(club):
    small = Club.objects.create(name="small")
    small.parents.add(club)
    assert list(club.children.all()) == [small]
    assert list(club.parents.all()) == []


def test_a_model_of_its_own_in_between(club, readers):
    ada, bob, cyd = readers
    club.members.add(ada, through_defaults={"role": "chair", "sponsor": bob})
    club.members.add(bob)
    found = Membership.objects.get(reader=ada)
    assert (found._state.db, found.reader_id, found.role) == ("shop", "ada", "chair")
    assert slugs(club.members) == ["ada", "bob"]
    club.members.set([bob, cyd], through_defaults={"role": "new"})
    assert dict(Membership.objects.values_list("reader_id", "role")) == {
        "bob": "member",
        "cyd": "new",
    }
    assert list(bob.member_of.all()) == [club]
    assert list(Club.objects.filter(membership__role="new")) == [club]
    dee = club.members.create(slug="dee", through_defaults={"role": lambda: "guest"})
    assert dee.membership_set.get().role == "guest"


def test_what_the_default_manager_hides_stays(club):
    shown = Topic.objects.create(name="shown")
    hidden = Topic.objects.create(name="hidden", hidden=True)
    club.topics.add(shown, hidden)
    assert list(club.topics.all()) == [shown]
    club.topics.remove(hidden)
    assert list(club.topics(manager="every").all()) == [shown, hidden]
    club.topics.set([])
    assert list(club.topics(manager="every").all()) == [hidden]
    club.topics.add(shown)
    club.topics.clear()
    assert list(club.topics(manager="every").all()) == [hidden]
    club.topics(manager="every").clear()
    assert not club.topics(manager="every").exists()


def test_signals(club, readers):
    ada, bob, _ = readers
    heard = []

    def hear(sender, action, reverse, model, pk_set, using, **kwargs):
        heard.append((sender, action, reverse, model, pk_set, using))

    through = Club.patrons.through
    m2m_changed.connect(hear, sender=through)
    try:
        club.patrons.add(ada, bob)
        ada.patron_of.remove(club)
        club.patrons.clear()
    finally:
        m2m_changed.disconnect(hear, sender=through)
    keys = {ada.pk, bob.pk}
    assert heard == [
        (through, "pre_add", False, Reader, keys, "shop"),
        (through, "post_add", False, Reader, keys, "shop"),
        (through, "pre_remove", True, Club, {club.pk}, "shop"),
        (through, "post_remove", True, Club, {club.pk}, "shop"),
        (through, "pre_clear", False, Reader, None, "shop"),
        (through, "post_clear", False, Reader, None, "shop"),
    ]


class TestVerify:
    def test_added_keys_cost_one_query_in_their_home(self, club, readers):
        with count_queries() as counted:
            club.guests.add(*readers)
        assert dict(counted) == {"default": 1, "blog": 1, "shop": 0}
        with count_queries() as counted:
            readers[0].guest_of.add(club)
        assert dict(counted) == {"default": 0, "blog": 2, "shop": 0}

    def test_missing_keys_are_named(self, club, readers):
        with pytest.raises(MissingTarget) as caught, transaction.atomic(using="blog"):
            club.guests.add(readers[0], MISSING)
        assert str(caught.value) == (
            f"clubs.Club_guests.reader: key {MISSING} not found among clubs.Reader in database "
            f"'default'; nothing was written. Create the missing rows first, or declare the "
            f"field with verify=False to check later by scanning."
        )
        assert not Club.guests.through.objects.exists()

    def test_set_keeps_what_there_was(self, club, readers):
        club.guests.add(*readers)
        with pytest.raises(MissingTarget), transaction.atomic(using="blog"):
            club.guests.set([MISSING])
        assert club.guests.count() == 3

    def test_the_other_side(self, readers):
        with pytest.raises(MissingTarget, match=r"^clubs\.Club_guests\.club: key 987654 "):
            readers[0].guest_of.add(MISSING)

    def test_rows_in_between_that_are_written_by_themselves(self, club):
        through = Club.guests.through
        with pytest.raises(MissingTarget), transaction.atomic(using="blog"):
            through.objects.create(club=club, reader_id=MISSING)
        with pytest.raises(MissingTarget), transaction.atomic(using="blog"):
            through.objects.bulk_create([through(club=club, reader_id=MISSING)])

    def test_without_it_anything_is_added(self, club):
        club.readers.add(MISSING)
        assert Club.readers.through.objects.count() == 1
        assert not club.readers.exists()


def test_objects_of_another_class_are_refused(club):
    with pytest.raises(TypeError, match="'Reader' instance expected, got <Club: chess>"):
        club.readers.add(club)


def test_an_unsaved_instance_is_refused():
    with pytest.raises(ValueError, match='needs to have a value for field "id"'):
        Club(name="new").readers.all()


class OnlyNamed:
    """Names the two models one by one, and knows of none between them."""

    homes = {"clubs.club": "blog", "clubs.reader": "default"}

    def db_for_read(self, model, **hints):
        return self.homes.get(model._meta.label_lower)

    db_for_write = db_for_read

    def allow_migrate(self, db, app_label, model_name=None, **hints):
        home = self.homes.get(f"{app_label}.{model_name}")
        return None if home is None else db == home


def test_a_router_that_names_models_one_by_one(club, readers, settings, name):
    settings.DATABASE_ROUTERS = [OnlyNamed()]
    manager = getattr(club, name)
    manager.set(readers[:2])
    manager.create(slug="dee")
    manager.remove(readers[0])
    assert slugs(manager) == ["bob", "dee"]
    between = getattr(Club, name).through
    assert between.objects.count() == 2
    row = between(club=club, reader=readers[2])
    row.save()
    assert row._state.db == {"patrons": "shop"}.get(name, "blog")
    assert slugs(Reader.objects.filter(**{CLUBS[name]: club})) == ["bob", "cyd", "dee"]
    found = Club.objects.prefetch_related(name).get()
    assert len(getattr(found, name).all()) == 3
    between.objects.all().delete()
    assert not manager.exists()


CLUBS = {"readers": "clubs", "patrons": "patron_of", "guests": "guest_of"}


def test_a_database_that_is_named(club, readers):
    """A table that is not there is read at home, whatever was named."""
    club.readers.set(readers[:1])
    assert list(club.readers.using("blog")) == readers[:1]
    assert list(club.readers.db_manager("blog").all()) == readers[:1]
    assert list(club.readers.using("default")) == readers[:1]


def test_both_sides_in_one_block(club):
    with pytest.raises(ZeroDivisionError), atomic("default", "blog"):
        club.readers.create(slug="dee")
        1 / 0
    assert not club.readers.exists()
    assert not Reader.objects.filter(slug="dee").exists()
