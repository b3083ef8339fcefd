"""Models with relations of every kind, moved: what hangs on them is right, wherever it is."""

import datetime
from io import StringIO

import pytest
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command

import xdbrel
from tests.apps.climate.models import Outing, Record, Region, Report, Stop, Trip, Weather
from tests.apps.clubs.models import Club, Membership, Reader, Topic
from tests.apps.notes.models import Essay, Label, Note, Reply, SpecialThing, Stranger, Thing
from tests.integration.moving.test_rows import rows
from xdbrel.compat import raw_delete
from xdbrel.models import CascadeIntent

pytestmark = pytest.mark.django_db(databases="__all__", transaction=True)

NOON = datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.UTC)
BETWEEN = ["readers", "guests", "patrons", "friends", "parents", "topics", "members"]


@pytest.fixture
def clubs(homes):
    """Three clubs, each related to something by every field."""
    readers = [Reader.objects.create(slug=f"r{n}") for n in range(4)]
    topics = [Topic.every.create(name=f"t{n}", hidden=n == 0) for n in range(2)]
    made = [Club.objects.create(name=f"c{n}") for n in range(3)]
    for number, club in enumerate(made):
        for name in ("readers", "guests", "patrons"):
            getattr(club, name).add(*readers[number : number + 2])
        club.friends.add(made[number - 1])
        club.parents.add(made[number - 2])
        club.topics.add(*topics)
        Membership.objects.create(club=club, reader=readers[number], role=f"m{number}")
        readers[number].likes.add(club)
    return made


def seen_from_clubs():
    """What every field leads to, in both directions, by what names do not change."""
    found = {
        (club.name, name): sorted(map(str, getattr(club, name).all()))
        for club in Club.objects.all()
        for name in BETWEEN
        if name != "topics"
    }
    for club in Club.objects.all():
        found[club.name, "topics"] = sorted(Topic.every.filter(clubs=club).values_list("name"))
    for reader in Reader.objects.all():
        for name in ("clubs", "guest_of", "patron_of", "member_of", "likes"):
            found[reader.slug, name] = sorted(map(str, getattr(reader, name).all()))
    return found


def test_rows_in_between_go_with_the_side_that_declares(clubs, homes, dangling):
    """Those that live elsewhere by their field's account, or by their model's, stay."""
    before = seen_from_clubs()
    between = [Club._meta.get_field(name).remote_field.through for name in BETWEEN]
    own = {
        one: rows(one, "blog")
        for one in between
        if one._meta.db_table
        in {"clubs_club_readers", "clubs_club_guests", "clubs_club_parents", "clubs_club_topics"}
    }
    result = xdbrel.move(Club, to="shop")
    assert result.counts == {
        "clubs.Club": 3,
        "clubs.Club_readers": 6,
        "clubs.Club_guests": 6,
        "clubs.Club_parents": 3,
        "clubs.Club_topics": 6,
    }
    assert {one: rows(one, "shop") for one in own} == own
    assert not any(rows(one, "blog") for one in own)
    with homes(clubs_Club="shop"):
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}
        # And back again, while the routers send them there.
        xdbrel.move(Club, to="blog", using="shop")
    assert seen_from_clubs() == before
    assert dangling("clubs") == {}


def test_the_other_side_goes_alone(clubs, homes, dangling):
    """Rows in between that another model declares stay where they are."""
    before = seen_from_clubs()
    result = xdbrel.move(Reader, to="blog")
    assert result.counts == {"clubs.Reader": 4, "clubs.Reader_likes": 3}
    assert set(result.left_crossing) == {
        "clubs.Club_readers.reader",
        "clubs.Club_guests.reader",
        "clubs.Club_patrons.reader",
        "clubs.Membership.reader",
        "clubs.Membership.sponsor",
    }
    with homes(clubs_Reader="blog"):
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}


def test_a_model_of_ones_own_in_between(clubs, homes, dangling):
    """It is moved as any other, and goes along where it is beside them and named."""
    before = seen_from_clubs()
    assert xdbrel.move(Membership, to="blog").counts == {"clubs.Membership": 3}
    with homes(clubs_Membership="blog"):
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}
        result = xdbrel.move(Club, to="shop", along=[Membership])
        assert result.counts["clubs.Membership"] == 3
    with homes(clubs_Club="shop"):
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}


def test_rows_in_between_move_to_another_home(clubs, dangling):
    """To where ``through_home`` names it by then: from the table beside the declaring model."""
    before = seen_from_clubs()
    through = Club.patrons.through
    # As it was when the field did not name it yet: made there with the clubs' own table.
    through.objects.using("blog").bulk_create(through.objects.all())
    raw_delete(through.objects.all(), "shop")
    result = xdbrel.move(through, using="blog", to="shop")
    assert result.counts == {"clubs.Club_patrons": 6}
    assert seen_from_clubs() == before
    assert dangling("clubs") == {}


def test_changes_of_rows_in_between_are_carried_over(clubs, homes, dangling):
    """What is added and removed meanwhile, before the switch and after it."""
    xdbrel.move(Club, to="shop", keep_source=True)
    reader = Reader.objects.get(slug="r3")
    clubs[0].readers.add(reader)
    clubs[1].readers.clear()
    xdbrel.move(Club, to="shop", keep_source=True)
    before = seen_from_clubs()
    with homes(clubs_Club="shop"):
        assert seen_from_clubs() == before
        Club.objects.get(name="c2").readers.clear()
        Club.objects.get(name="c1").readers.add(reader)
        before = seen_from_clubs()
        xdbrel.move(Club, to="shop", using="blog", keep_source=True)
    assert seen_from_clubs() == before
    with homes(clubs_Club="shop"):
        assert xdbrel.move(Club, to="shop", using="blog").status == "complete"
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}


def test_a_part_of_the_side_that_declares(clubs):
    """Rows in between go with the rows that they belong to."""
    result = xdbrel.move(Club.objects.filter(name="c0"), to="shop")
    assert result.counts["clubs.Club_readers"] == 2
    through = Club.parents.through
    assert [row[1] for row in rows(through, "shop")] == [clubs[0].pk]
    assert sorted(row[1] for row in rows(through, "blog")) == [clubs[1].pk, clubs[2].pk]


def test_rows_in_between_that_come_meanwhile(clubs):
    """A row in between that is written after the others have gone goes as well."""
    late, written = Reader.objects.get(slug="r3"), []

    def on_progress(progress):
        step = (progress.model, progress.step)
        if step == ("clubs.Club_readers", "remove") and not written:
            written.append(clubs[0].readers.add(late))

    result = xdbrel.move(Club.objects.filter(name="c0"), to="shop", on_progress=on_progress)
    assert result.status == "complete"
    through = Club.readers.through
    assert through.objects.using("shop").filter(reader=late).count() == 1
    assert not through.objects.using("blog").filter(club=clubs[0]).exists()


def test_rows_in_between_follow_new_keys(clubs, homes, dangling):
    """In every database: beside them, on the other side, in a third."""
    before = seen_from_clubs()
    Club.objects.using("shop").bulk_create(Club(pk=club.pk, name="theirs") for club in clubs)
    result = xdbrel.move(Club, to="shop", renumber=True)
    assert result.renumbered == {"clubs.Club": 3}
    Club.objects.using("shop").filter(name="theirs").delete()
    with homes(clubs_Club="shop"):
        assert {club.pk for club in Club.objects.all()}.isdisjoint(club.pk for club in clubs)
        assert seen_from_clubs() == before
        assert dangling("clubs") == {}
    assert not CascadeIntent.objects.using("blog").filter(status="pending").exists()


@pytest.fixture
def notes(homes, types_everywhere):
    """Notes and labels about things, special ones, essays and strangers with the same keys."""
    things = [Thing.objects.create(pk=1, name="one"), Thing.objects.create(pk=2, name="two")]
    special = SpecialThing.objects.create(pk=3, name="special", price=3)
    essays = [Essay.objects.create(pk=n, title=f"essay {n}") for n in (1, 2, 3)]
    stranger = Stranger.objects.create(pk=1, name="stranger")
    for target in (*things, special, *essays, stranger):
        note = Note.objects.create(about=target, text=f"{target._meta.label} {target.pk}")
        Reply.objects.create(note=note)
        Label.objects.create(subject=target, word=f"{target._meta.label} {target.pk}")
    Note.objects.create(text="about nothing")


def named(target):
    return None if target is None else getattr(target, "name", None) or target.title


def seen_from_notes():
    """What every note and label leads to, and what leads to it."""
    found = {(type(one).__name__, one.pk): named(one.about) for one in Note.objects.all()}
    found |= {("Label", one.pk): named(one.subject) for one in Label.objects.all()}
    for model in (Thing, SpecialThing, Essay):
        for target in model.objects.all():
            texts = target.notes.values_list("text", flat=True)
            words = target.labels.values_list("word", flat=True)
            found[model.__name__, named(target)] = (list(texts), list(words))
    return found


def test_content_types_become_the_destinations(notes, homes, dangling):
    """Sources of generic relations name by then what the same models are called there."""
    before, ids = seen_from_notes(), dict(Note.objects.values_list("pk", "content_type"))
    xdbrel.move(Note, to="shop", along=[Reply])
    with homes(notes_Note="shop", notes_Reply="shop"):
        ContentType.objects.clear_cache()
        assert seen_from_notes() == before
        after = dict(Note.objects.values_list("pk", "content_type"))
        assert after.keys() == ids.keys()
        assert not {pk for pk, one in after.items() if one is not None and one == ids[pk]}
        assert dangling("notes") == {}
        xdbrel.move(Note, to="blog", using="shop", along=[Reply])
    assert seen_from_notes() == before
    assert dict(Note.objects.values_list("pk", "content_type")) == ids


def test_content_types_of_one_home_stay(homes, dangling):
    """Where both ends name content types of one database, the ids mean the same."""
    Note.objects.create(about=Thing.objects.create(name="one"))
    ids = list(Note.objects.values_list("content_type", flat=True))
    xdbrel.move(Note, to="shop")
    with homes(notes_Note="shop"):
        assert list(Note.objects.values_list("content_type", flat=True)) == ids
        assert Note.objects.get().about.name == "one"
        assert dangling("notes") == {}


def test_content_types_that_mean_nothing(notes):
    """What no content type says in one database may mean another model in the next."""
    Note.objects.filter(text="notes.Thing 1").update(content_type_id=90_001)
    with pytest.raises(xdbrel.exceptions.XdbrelError) as caught:
        xdbrel.move(Note, to="shop", along=[Reply])
    assert str(caught.value).partition("since ")[2] == (
        "notes.Note.content_type names content types that database 'blog' does not have: key "
        "90001, and at the destination these may mean others; nothing was written. Run "
        '"manage.py xdbrel_contenttypes", which tells what such rows mean, and give them the '
        "right ones."
    )
    assert not Note.objects.using("shop").exists()


def test_targets_of_generic_relations(notes, homes, dangling):
    """Multi-table children go with them; what is said about them stays, and still means them."""
    before = seen_from_notes()
    result = xdbrel.move(Thing, to="blog")
    assert result.counts == {"notes.Thing": 3, "notes.SpecialThing": 1}
    assert "notes.Note.about[notes.Thing]" in result.left_crossing
    with homes(notes_Thing="blog", notes_SpecialThing="blog"):
        assert seen_from_notes() == before
        assert dangling("notes") == {}


def test_generic_sources_that_go_along(notes, homes):
    """Those that are about what goes, where both are in one database."""
    result = xdbrel.move(Essay.objects.filter(pk__lt=3), to="shop", along=[Note, Reply])
    assert result.counts == {"notes.Essay": 2, "notes.Note": 2, "notes.Reply": 2}
    texts = Note.objects.using("shop").values_list("text", flat=True)
    assert sorted(texts) == ["notes.Essay 1", "notes.Essay 2"]
    assert Note.objects.using("blog").count() == 6


@pytest.mark.parametrize(
    ("model", "away"),
    [(Thing, "blog"), (Essay, "shop"), (Stranger, "blog")],
    ids=["elsewhere", "beside", "undeclared"],
)
def test_generic_sources_follow_new_keys(notes, homes, dangling, model, away):
    """In every database, and nothing that is about others with the same keys."""
    before = seen_from_notes()
    model.objects.using(away).bulk_create(model(pk=pk) for pk in (1, 3))
    taken = model.objects.filter(pk__in=[1, 3]).count()
    result = xdbrel.move(model, to=away, renumber=True)
    assert result.renumbered == {model._meta.label: taken}
    family = [model, *(SpecialThing for _ in range(model is Thing))]
    with homes(**{one._meta.label.replace(".", "_"): away for one in family}):
        raw_delete(model.objects.filter(pk__in=[1, 3]), away)
        assert seen_from_notes() == before
        assert dangling("notes") == {}


@pytest.fixture
def weather(homes):
    """Trips and records of weather that was measured at noon, in regions."""
    for number in range(3):
        place = f"p{number}"
        Weather.objects.create(place=place, hour=NOON, celsius=number)
        Region.objects.create(pk=number + 1, country="fr", number=number, name=f"region {number}")
        held = {"place": place, "hour": NOON, "country": "fr", "region_number": number}
        trip = Trip.objects.create(**held, title=f"trip {number}")
        outing = Outing.objects.create(**held, title=f"outing {number}", guests=number)
        Stop.objects.create(trip=trip)
        Stop.objects.create(trip=outing)
        Report.objects.create(trip=trip)
        Report.objects.create(trip=outing)
        Record.objects.create(**held)


def seen_from_trips():
    """What every relation over several columns leads to, in both directions."""
    found = {}
    for model in (Trip, Outing, Record):
        for one in model.objects.all():
            name = getattr(one, "title", one.pk)
            found[model.__name__, name] = (one.weather.celsius, one.region.name)
    for one in Weather.objects.all():
        found[one.place] = (sorted(one.trips.values_list("title")), one.records.count())
    for one in Region.objects.all():
        found[one.name] = (sorted(one.trips.values_list("title")), one.records.count())
    for one in (*Stop.objects.all(), *Report.objects.all()):
        found[type(one).__name__, one.pk] = one.trip.title
    return found


def test_sources_of_composite_relations(weather, homes, dangling):
    """A multi-table child goes with them; relations to them follow or stay as ever."""
    before = seen_from_trips()
    said = StringIO()
    call_command("xdbrel_move", "climate.Trip", "--to=shop", "--along=climate.Stop", stdout=said)
    assert said.getvalue().startswith("Moved 15 rows from blog to shop (move ")
    assert not Outing.objects.using("blog").exists()
    with homes(climate_Trip="shop", climate_Outing="shop", climate_Stop="shop"):
        assert seen_from_trips() == before
        assert dangling("climate") == {}


def test_targets_of_composite_relations(weather, homes, dangling):
    """By a composite primary key, and by columns that are unique together."""
    before = seen_from_trips()
    assert xdbrel.move([Weather, Region], to="blog", batch_size=2).rows == 6
    with homes(climate_Weather="blog", climate_Region="blog"):
        assert seen_from_trips() == before
        assert dangling("climate") == {}


def test_composite_sources_that_go_along(weather):
    """Those of the rows that go, or all of them where all go."""
    result = xdbrel.move(Weather.objects.filter(place="p1"), to="blog", along=[Record])
    assert result.counts == {"climate.Weather": 1, "climate.Record": 1}
    assert Record.objects.using("blog").get().place == "p1"
    result = xdbrel.move(Weather, to="blog", along=[Record])
    assert result.counts == {"climate.Weather": 2, "climate.Record": 2}


def test_new_keys_beside_composite_relations(weather, homes, dangling):
    """A key that no such relation holds changes; keys of several columns cannot be made up."""
    before = seen_from_trips()
    Region.objects.using("blog").create(pk=1, country="de", number=1)
    result = xdbrel.move(Region, to="blog", renumber=True)
    assert result.renumbered == {"climate.Region": 1}
    Trip.objects.using("shop").create(pk=1, title="theirs")
    taken = Trip.objects.get(title="trip 0").pk
    result = xdbrel.move(Trip, to="shop", along=[Stop], renumber=True)
    assert result.renumbered == ({"climate.Trip": 1} if taken == 1 else {})
    with homes(
        climate_Region="blog", climate_Trip="shop", climate_Outing="shop", climate_Stop="shop"
    ):
        Region.objects.filter(country="de").delete()
        Trip.objects.filter(title="theirs").delete()
        assert seen_from_trips() == before
        assert dangling("climate") == {}
    Weather.objects.using("blog").create(place="p1", hour=NOON)
    with pytest.raises(ValueError, match="keys of CompositePrimaryKey cannot be made up"):
        xdbrel.move(Weather, to="blog", renumber=True)
