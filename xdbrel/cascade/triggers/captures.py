"""Which columns are to be watched, for which relations: what should stand, on no backend yet.

``XDBREL["CAPTURE"]`` says which relations are captured. One capture is one column of one
table; all relations whose keys are that column's values share it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections, models

from xdbrel import placement
from xdbrel.cascade import graph, intents
from xdbrel.conf import settings
from xdbrel.exceptions import HomeError
from xdbrel.keys import key_field
from xdbrel.relations import Relation, all_relations

#: Kinds of keys that SQL can write as ``xdbrel.keys.encode`` does. The order counts: a
#: DateTimeField is a DateField too.
_KINDS: tuple[tuple[str, tuple[type[Any], ...]], ...] = (
    ("integer", (models.IntegerField, models.AutoField)),
    ("text", (models.CharField, models.TextField)),
    ("uuid", (models.UUIDField,)),
    ("decimal", (models.DecimalField,)),
    ("datetime", (models.DateTimeField,)),
    ("date", (models.DateField,)),
)

#: PostgreSQL cuts longer names short without a word; MariaDB takes one character more.
NAME_LENGTH = 63


@dataclass(frozen=True)
class Capture:
    """One column whose values are written down when they go, and for which relations.

    ``kind`` is the kind of key, ``places`` a decimal's digits after the point. ``following``
    are the relations whose sources follow when a value becomes another (``on_update``).
    """

    table: str
    column: str
    kind: str
    places: int | None
    relations: tuple[str, ...]
    following: tuple[str, ...] = ()

    @property
    def events(self) -> tuple[str, ...]:
        """What is to be watched on every database."""
        return ("delete", "update") if self.following else ("delete",)

    def relations_at(self, event: str) -> tuple[str, ...]:
        """Return the relations that an event is written down for."""
        return self.following if event == "update" else self.relations

    def name(self, event: str) -> str:
        """Return the name of the trigger for ``event``: readable, unique and short enough."""
        exact = "\0".join((self.table, self.column, self.kind, str(self.places)))
        digest = hashlib.sha256(exact.encode()).hexdigest()[:8]
        readable = re.sub(r"[^a-z0-9]+", "_", f"{self.table}_{self.column}".lower()).strip("_")
        front = f"xdbrel_{event}_"
        room = NAME_LENGTH - len(front) - len(digest) - 1
        return f"{front}{readable[:room].rstrip('_')}_{digest}"


@dataclass(frozen=True)
class Survey:
    """What is to be captured in one database, and what cannot be: reasons by handle."""

    captures: tuple[Capture, ...]
    refused: dict[str, str]


def survey(using: str, relations: Iterable[Relation] | None = None) -> Survey:
    """Return what ``XDBREL["CAPTURE"]`` wants to have captured in the database ``using``.

    ``relations`` are those that there are, where that is not the installed models' (in a
    migration).
    """
    groups: dict[tuple[str, str, str, int | None], list[Relation]] = {}
    refused: dict[str, str] = {}
    for relation in chosen(relations):
        if not placement.same_home(relation.target_home, using):
            continue
        field = relation.target_field
        if relation.is_composite:
            refused[relation.handle] = (
                "a trigger writes one column down, and its keys are of several"
            )
            continue
        kind = kind_of(field, using)
        if kind is None:
            refused[relation.handle] = (
                f"keys of a {type(key_field(field)).__name__} cannot be written by a trigger "
                f"in this database"
            )
            continue
        places = getattr(key_field(field), "decimal_places", None)
        group = (field.model._meta.db_table, field.column or "", kind, places)
        groups.setdefault(group, []).append(relation)
    return Survey(
        tuple(
            Capture(*group, _handles(found), _handles(filter(follows_changes, found)))
            for group, found in sorted(groups.items())
        ),
        refused,
    )


def follows_changes(relation: Relation) -> bool:
    """Tell whether the sources of ``relation`` get a new key when their target's changes.

    What ``on_update`` protects has been changed all the same by SQL that goes past the ORM;
    a scan shows the sources.
    """
    return getattr(relation.field, "on_update", None) is models.CASCADE


def _handles(found: Iterable[Relation]) -> tuple[str, ...]:
    return tuple(sorted(relation.handle for relation in found))


def chosen(relations: Iterable[Relation] | None = None) -> Iterator[Relation]:
    """Yield the relations that ``XDBREL["CAPTURE"]`` names and that triggers can serve."""
    wanted = settings.CAPTURE
    if wanted == "orm":
        return
    handles = None if wanted == "triggers" else {handle.lower() for handle in wanted}
    for relation in all_relations() if relations is None else relations:
        if (handles is None or relation.handle.lower() in handles) and is_served(relation):
            yield relation


def is_served(relation: Relation) -> bool:
    """Tell whether a trigger has anything to write for ``relation``.

    DO_NOTHING asks for nothing. PROTECT and RESTRICT refuse, which SQL that goes past the
    ORM has ignored: their sources are kept, and a scan shows them.
    """
    policy = graph.policy_of(relation.field)
    if graph.is_idle(policy) or policy in (models.PROTECT, models.RESTRICT):
        return False
    try:
        return relation.crosses
    except HomeError:
        return False  # A check says so.


def kind_of(field: models.Field[Any, Any], using: str) -> str | None:
    """Return the kind of key that ``field`` holds in the database; ``None`` for a strange one."""
    field = key_field(field)
    connection = connections[using]
    for kind, classes in _KINDS:
        if not isinstance(field, classes):
            continue
        if kind == "uuid":
            # Whoever keeps char(32) on MariaDB 10.7 has a field of his own, as Django advises.
            known = ("uuid", "char(32)", "char(36)")
            return kind if field.db_type(connection) in known else None
        if not type(field).get_db_prep_value.__module__.startswith("django.db."):
            return None  # What is stored is not what the field says.
        if kind == "datetime" and connection.vendor != "postgresql" and connection.timezone:
            # Without the server's tables of time zones only UTC can be told from its text.
            return kind if connection.timezone_name == "UTC" else None
        return kind
    return None


def aliases() -> list[str]:
    """Return the aliases where triggers may stand, one for each database."""
    found: list[str] = []
    for alias in intents.aliases():
        if not any(placement.same_home(alias, one) for one in found):
            found.append(alias)
    return found
