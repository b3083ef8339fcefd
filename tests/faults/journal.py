"""What the processes of a fault run have done, as far as they lived to say it.

One file that all of them append to, a line for each event. A row is noted once its
transaction has committed, a delete before it is tried and again once its outcome is known;
whoever is killed in between leaves the outcome open. ``found_wrong`` holds all this against
the rows that are left.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from django.apps import apps
from django.db import models

from xdbrel import placement

#: What became of a delete: committed, refused or rolled back. Open where nobody could say.
GONE, KEPT = "gone", "kept"


class Journal:
    """The journal at ``path``. Every process opens the file for itself."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._serial = itertools.count()

    def row(self, instance: models.Model) -> None:
        """Note a row that has been committed."""
        keys = {
            field.attname: getattr(instance, field.attname)
            for field in foreign_keys(type(instance))
        }
        self.note(event="row", model=instance._meta.label, pk=instance.pk, keys=keys)

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
            os.write(handle, (json.dumps({"at": time.time(), **event}) + "\n").encode())
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
            rows = {(event["model"], pk) for pk in event["pks"]}
            outcome = outcomes.get(event["name"])
            if outcome != KEPT:
                self.asked |= rows
            if outcome == GONE:
                self.committed |= rows


def found_wrong(journal: Journal, watched: Iterable[type[models.Model]]) -> list[str]:
    """Return a line for each row that is dangling, lost, or changed without reason."""
    watched = list(watched)
    deletes = Deletes(journal)
    now = {model._meta.label: _rows(model) for model in watched}
    lines = []
    for model in watched:
        label = model._meta.label
        for pk, row in now[label].items():
            if (label, pk) in deletes.committed:
                lines.append(f"{label} {pk} is there after its delete() returned")
            for field in foreign_keys(model):
                key, target = row[field.attname], _label_of_target(field)
                if key is not None and target in now and key not in now[target]:
                    lines.append(f"{label} {pk} is an orphan: {field.name} {key} is gone")
    for event in journal.events("row"):
        label, pk, model = event["model"], event["pk"], apps.get_model(event["model"])
        row = now[label].get(pk)
        if row is None:
            if (label, pk) not in deletes.asked and not _followed(model, event["keys"], now):
                lines.append(f"{label} {pk} is lost: {event['keys']}, targets living")
            continue
        for field in foreign_keys(model):
            key, target = event["keys"][field.attname], _label_of_target(field)
            if row[field.attname] != key and (target not in now or key in now[target]):
                lines.append(
                    f"{label} {pk}: {field.name} is {row[field.attname]}, its target {key} lives"
                )
    return lines


def foreign_keys(model: type[models.Model]) -> list[Any]:
    """Return the relations that a row of ``model`` holds keys of, crossing or not."""
    return [
        field for field in model._meta.concrete_fields if field.many_to_one or field.one_to_one
    ]


def _followed(model: type[models.Model], keys: dict[str, Any], now: dict[str, Any]) -> bool:
    """Tell whether a row with these keys had a target to follow."""
    return any(
        _policy(field) is models.CASCADE
        and _label_of_target(field) in now
        and keys[field.attname] is not None
        and keys[field.attname] not in now[_label_of_target(field)]
        for field in foreign_keys(model)
    )


def _policy(field: Any) -> Any:
    return getattr(field.remote_field, "policy", field.remote_field.on_delete)


def _label_of_target(field: Any) -> str:
    return field.remote_field.model._meta.label


def _rows(model: type[models.Model]) -> dict[Any, dict[str, Any]]:
    columns = [field.attname for field in model._meta.concrete_fields]
    rows = model._base_manager.using(placement.home(model)).order_by().values(*columns)
    return {row[model._meta.pk.attname]: row for row in rows}
