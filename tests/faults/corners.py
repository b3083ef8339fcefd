"""Rows to delete among rows that stay, and how what was left behind is finished.

``build`` makes the rows anew, each with a primary key of its own choosing: the same rows
every time, on every server. ``drain`` lets relays finish, whatever the clock says.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.contrib.contenttypes.models import ContentType
from django.db import connections, models

import xdbrel
from tests.apps.archive.models import Loan, Shelf
from tests.apps.blog.models import (
    Article,
    Comment,
    Desk,
    Essay,
    Letter,
    Post,
    Signature,
    Tag,
)
from tests.apps.climate.models import Region, Trip, Weather
from tests.apps.clubs.models import Club, Membership, Reader
from tests.apps.knots.models import Album, Artist, Concert, Owner, Player, Song, Team, Ticket
from tests.apps.notes.models import Gadget, Label, Note, Reply, Thing
from tests.apps.people.models import Bookmark, Cover, Member, Person
from tests.apps.shop.models import Invoice, Order, Profile, Review
from xdbrel import placement
from xdbrel.cascade.relay import intent_aliases, relay
from xdbrel.models import CascadeIntent, IntentClaim

ADA, BOB, EVE = 1, 2, 3
LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)
#: The keys of two gadgets.
GADGETS = tuple(uuid.UUID(int=number) for number in (1, 2))
ROUNDS = 20

Status = CascadeIntent.Status


#: By name, the models of a corner of the tests' apps: targets before what hangs on them.
CORNERS: dict[str, tuple[type[models.Model], ...]] = {
    "users": (
        User,
        Tag,
        Post,
        Post.tags.through,
        Comment,
        Order,
        Review,
        Profile,
        Invoice,
        Bookmark,
        Cover,
    ),
    "owners": (Owner, Ticket, Shelf, Loan),
    "circle": (Team, Player),
    "artists": (Artist, Album, Song, Concert),
    "people": (Person, Member, Article, Essay, Letter, Signature, Desk),
    "clubs": (
        Reader,
        Club,
        Reader.likes.through,
        Club.readers.through,
        Club.patrons.through,
        Membership,
    ),
    "climate": (Weather, Region, Trip),
    "notes": (Thing, Gadget, Note, Reply, Label),
}


def build(corner: str) -> None:
    """Make the rows of a corner, and no others; no intent is left."""
    with xdbrel.atomic(*intent_aliases()):
        clear(CORNERS[corner])
        for model, rows in _rows(corner).items():
            if model._meta.parents:
                # With the row of the parent, which bulk_create() refuses to make.
                for row in rows:
                    model(**row).save(force_insert=True)
            else:
                model._base_manager.bulk_create([model(**row) for row in rows])


def clear(models_: Iterable[type[models.Model]]) -> None:
    """Delete all rows of these models, targets before what hangs on them, and all intents."""
    for model in reversed([*models_]):
        wipe(model)
    for alias in intent_aliases():
        wipe(CascadeIntent, using=alias)
        wipe(IntentClaim, using=alias)


def wipe(model: type[models.Model], *pks: int, using: str = "") -> None:
    """Delete rows (default: all) behind everybody's back; no source follows."""
    connection = connections[using or placement.home(model)]
    name = connection.ops.quote_name
    table, condition = name(model._meta.db_table), ""
    if pks:
        condition = f" WHERE {name(model._meta.pk.column)} IN ({', '.join(map(str, pks))})"
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {table}{condition}")


def _rows(corner: str) -> dict[type[models.Model], list[dict[str, Any]]]:
    return {
        "users": _users,
        "owners": _owners,
        "circle": _circle,
        "artists": _artists,
        "people": _people,
        "clubs": _clubs,
        "climate": _climate,
        "notes": _notes,
    }[corner]()


def _users() -> dict[type[models.Model], list[dict[str, Any]]]:
    """Ada, Bob and Eve have written, bought, reviewed; some on what another has written."""
    users = (ADA, BOB, EVE)
    return {
        User: [
            {"id": user, "username": f"user {user}", "date_joined": LONG_AGO} for user in users
        ],
        Tag: [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
        Post: [
            {"id": 10 * user + i, "author_id": user, "editor_id": user % 3 + 1, "title": str(i)}
            for user in users
            for i in (1, 2)
        ],
        Post.tags.through: [
            {"id": user, "post_id": 10 * user + 1, "tag_id": tag}
            for user, tag in zip(users, (1, 2, 1), strict=True)
        ],
        Comment: [
            {"id": 10 * user + other, "post_id": 10 * user + 1, "author_id": other}
            for user in users
            for other in users
        ],
        Order: [
            {"id": 10 * user + i, "customer_id": user, "number": str(i)}
            for user in users
            for i in (1, 2, 3)
        ],
        Review: [
            {"id": 10 * user + other, "post_id": 10 * user + 2, "author_id": other}
            for user in users
            for other in users
        ],
        Profile: [{"id": user, "user_id": user} for user in users],
        Bookmark: [{"id": user, "post_id": 10 * user + 1, "note": "mark"} for user in users],
        Cover: [{"id": user, "post_id": 10 * user + 2} for user in users],
    }


def _owners() -> dict[type[models.Model], list[dict[str, Any]]]:
    # 7 and 1 are the defaults of Ticket.default and Loan.shelf.
    return {
        Owner: [{"id": 7, "name": "default"}, {"id": 8, "name": "last resort"}]
        + [{"id": owner, "name": "one of many"} for owner in (21, 22, 23)],
        Ticket: [
            {"id": owner, "set_to_id": owner, "default_id": owner, "kept_id": 7}
            for owner in (21, 22, 23)
        ],
        Shelf: [{"number": number, "code": number} for number in (1, 2, 3)],
        Loan: [{"id": number, "shelf_id": number} for number in (1, 2, 3)],
    }


def _circle() -> dict[type[models.Model], list[dict[str, Any]]]:
    """Two circles of team and captain; a chain of teams hangs on the first."""
    return {
        Team: [
            {"id": team, "captain_id": 10 * captain} for team, captain in ((1, 1), (2, 2), (3, 4))
        ],
        Player: [
            {"id": 10, "team_id": 1},
            {"id": 11, "team_id": 1},
            {"id": 20, "team_id": 2},
            {"id": 40, "team_id": 1},
            {"id": 30, "team_id": 3},
        ],
    }


def _artists() -> dict[type[models.Model], list[dict[str, Any]]]:
    return {
        Artist: [{"id": artist, "name": str(artist)} for artist in (1, 2)],
        Album: [{"id": artist, "artist_id": artist} for artist in (1, 2)],
        Song: [
            {"id": 10 * artist + i, "artist_id": artist, "album_id": artist}
            for artist in (1, 2)
            for i in (1, 2)
        ],
    }


def _people() -> dict[type[models.Model], list[dict[str, Any]]]:
    people = (1, 2, 3)
    return {
        Person: [{"id": 3, "name": "no member"}],
        Member: [{"id": person, "name": str(person)} for person in (1, 2)],
        Essay: [{"id": person, "writer_id": person, "title": "on"} for person in people],
        Letter: [
            {"id": 10 * person + i, "recipient_id": person, "sender_id": person, "subject": str(i)}
            for person in people
            for i in (1, 2)
        ],
        Signature: [{"id": person, "person_id": person} for person in people],
        Desk: [{"id": person, "owner_id": person} for person in people],
    }


def _clubs() -> dict[type[models.Model], list[dict[str, Any]]]:
    """Every reader in every club, in each of the ways in which they may be."""
    pairs = [(club, reader) for club in (1, 2) for reader in (1, 2, 3)]
    between = [
        {"id": 10 * club + reader, "club_id": club, "reader_id": reader} for club, reader in pairs
    ]
    return {
        Reader: [{"id": reader, "slug": f"r{reader}"} for reader in (1, 2, 3)],
        Club: [{"id": club, "name": str(club)} for club in (1, 2)],
        Reader.likes.through: between,
        Club.readers.through: between,
        Club.patrons.through: between,
        Membership: [
            {**row, "reader_id": f"r{row['reader_id']}", "sponsor_id": 3} for row in between
        ],
    }


def _climate() -> dict[type[models.Model], list[dict[str, Any]]]:
    """Trips at every place and hour, through every region; one of no hour and no region."""
    hours = [LONG_AGO, LONG_AGO + timedelta(hours=1)]
    points = [{"place": place, "hour": hour} for place in ("A", "B") for hour in hours]
    return {
        Weather: points,
        Region: [{"id": one, "country": "us", "number": one} for one in (1, 2)],
        Trip: [
            {"id": number, **point, "country": "us", "region_number": number % 2 + 1}
            for number, point in enumerate([*points, *points], start=1)
        ]
        + [{"id": 9, "place": "A", "hour": None, "country": "us", "region_number": None}],
    }


def _notes() -> dict[type[models.Model], list[dict[str, Any]]]:
    """Notes about things and gadgets whose keys are texts, replies to them, and labels."""
    types = ContentType.objects.db_manager(placement.home(ContentType))
    thing, gadget = (types.get_for_model(model).pk for model in (Thing, Gadget))
    about = [(thing, "1"), (thing, "2"), (gadget, str(GADGETS[0])), (gadget, str(GADGETS[1]))]
    notes = [
        {"id": number, "content_type_id": kind, "object_id": key}
        for number, (kind, key) in enumerate([*about, *about, (None, None)], start=1)
    ]
    return {
        Thing: [{"id": 1}, {"id": 2}],
        Gadget: [{"id": key} for key in GADGETS],
        Note: notes,
        Reply: [{"id": note["id"], "note_id": note["id"]} for note in notes],
        Label: [{"id": number, "kind_id": thing, "key": number % 2 + 1} for number in (1, 2, 3)],
    }


def drain() -> None:
    """Let relays finish what was left: all leases are over, everything is due."""
    for _ in range(ROUNDS):
        make_due()
        # One may have to wait for another's turn: what restricts goes first.
        assert not relay().unreachable
        if not waiting():
            break
    else:
        raise AssertionError(f"still waiting: {waiting()}")
    for alias in intent_aliases():
        assert not IntentClaim.objects.using(alias).exists(), f"still held in {alias}"


def make_due(*, again: bool = False) -> None:
    """Let all leases be over, and every intent due; for the second look too if ``again``."""
    for alias in intent_aliases():
        left = CascadeIntent.objects.using(alias).filter(
            status__in=[Status.PENDING, Status.APPLIED] if again else [Status.PENDING]
        )
        left.update(available_at=LONG_AGO)
        IntentClaim.objects.using(alias).update(until=LONG_AGO)


def waiting() -> list[str]:
    """Return the intents that are still to be applied, or never will be."""
    return [
        f"{alias}: {intent.relation} {intent.keys}, {intent.status}, {intent.last_error}"
        for alias in intent_aliases()
        for intent in CascadeIntent.objects.using(alias).filter(
            status__in=(Status.PENDING, Status.SET_ASIDE)
        )
    ]
