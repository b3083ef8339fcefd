"""What is wrong with the rows that a fault run has left, by what its journal says of them."""

from __future__ import annotations

from collections.abc import Iterable

from django.apps import apps
from django.db import models

from tests.faults.journal import Deletes, Journal, hashable, same
from tests.faults.oracle import links_of, snapshot


def found_wrong(journal: Journal, watched: Iterable[type[models.Model]]) -> list[str]:
    """Return a line for each row that is dangling, lost, or changed without reason."""
    deletes = Deletes(journal)
    now = {
        model: {same(pk): {name: same(value) for name, value in row.items()} for pk, row in rows}
        for model, rows in ((model, rows.items()) for model, rows in snapshot(watched).items())
    }
    links = list(links_of(now))
    living = {link: {link.target_key(now, pk) for pk in now[link.target]} for link in links}
    lines = []
    for model, rows in now.items():
        label = model._meta.label
        lines += [
            f"{label} {pk} is there after its delete() returned"
            for pk in rows
            if (label, pk) in deletes.committed
        ]
    for link in links:
        for pk, row in now[link.source].items():
            key = link.key_of(row)
            if key is not None and key not in living[link]:
                lines.append(f"{link.source._meta.label} {pk} is an orphan: {link.handle} {key}")
    for event in journal.events("row"):
        label, pk, model = event["model"], hashable(event["pk"]), apps.get_model(event["model"])
        own = [(link, link.key_of(event["row"])) for link in links if link.source is model]
        row = now[model].get(pk)
        if row is None:
            followed = any(
                link.cascades and key is not None and key not in living[link] for link, key in own
            )
            if (label, pk) not in deletes.asked and not followed:
                lines.append(f"{label} {pk} is lost: {event['row']}, targets living")
            continue
        for link, key in own:
            held = link.key_of(row)
            if held != key and key in living[link]:
                lines.append(f"{link.handle} of {pk} is {held}, its target {key} lives")
    return lines
