"""What the processes of a fault run have done, as far as they lived to say it.

One file that all of them append to, a line for each event. A row is noted once its
transaction has committed, a delete before it is tried and again once its outcome is known;
whoever is killed in between leaves the outcome open. ``verdict`` holds all this against the
rows that are left.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from django.db import models

#: What became of a delete: committed, refused or rolled back. Open where nobody could say.
GONE, KEPT = "gone", "kept"


class Journal:
    """The journal at ``path``. Every process opens the file for itself."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._serial = itertools.count()

    def row(self, instance: models.Model) -> None:
        """Note a row that has been committed."""
        row = {
            field.attname: getattr(instance, field.attname)
            for field in instance._meta.local_concrete_fields
        }
        self.note(event="row", model=instance._meta.label, pk=instance.pk, row=row)

    def attempt(self, model: type[models.Model], pks: Iterable[Any]) -> str:
        """Note that rows are about to be deleted; return what ``outcome`` takes."""
        name = f"{os.getpid()}-{next(self._serial)}"
        self.note(event="attempt", name=name, model=model._meta.label, pks=list(pks))
        return name

    def outcome(self, name: str, outcome: str) -> None:
        """Note what became of an attempt."""
        self.note(event="outcome", name=name, outcome=outcome)

    def note(self, **event: Any) -> None:
        # One write to a file opened for appending: lines of several processes never mix.
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(
                handle, (json.dumps({"at": time.time(), **event}, default=_plain) + "\n").encode()
            )
        finally:
            os.close(handle)

    def events(self, *kinds: str) -> Iterator[dict[str, Any]]:
        """Yield the events, or those of some kinds, in the order of their noting."""
        with open(self.path, encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                if not kinds or event["event"] in kinds:
                    yield event


class Deletes:
    """The attempts of a journal by row."""

    def __init__(self, journal: Journal) -> None:
        outcomes = {event["name"]: event["outcome"] for event in journal.events("outcome")}
        self.asked: set[tuple[str, Any]] = set()
        #: Rows of which a delete() has returned.
        self.committed: set[tuple[str, Any]] = set()
        for event in journal.events("attempt"):
            rows = {(event["model"], hashable(pk)) for pk in event["pks"]}
            outcome = outcomes.get(event["name"])
            if outcome != KEPT:
                self.asked |= rows
            if outcome == GONE:
                self.committed |= rows


def same(value: Any) -> Any:
    """Return a value as a journal gives it back."""
    return hashable(json.loads(json.dumps(value, default=_plain)))


def _plain(value: Any) -> str:
    """Return what JSON knows nothing of as a text, the same wherever it was read."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def hashable(pk: Any) -> Any:
    """Return a primary key that was read from JSON as it can be looked up."""
    return tuple(pk) if isinstance(pk, list) else pk
