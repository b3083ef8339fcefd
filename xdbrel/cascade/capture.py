"""One intent for what is deleted: the trigger's where one stands, else the ORM's.

Where ``XDBREL["CAPTURE"]`` asks for triggers they speak for every row, those included that
the database deletes by itself. What the ORM has planned and no trigger has written, since
one is missing, is written as ever.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import F

from xdbrel import keys, relations
from xdbrel.cascade import intents
from xdbrel.cascade.triggers.owning import adopt, missing, owning
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent

#: Keys of deleted targets by (field, alias of the sources).
Planned = dict[tuple[Any, str], list[Any]]


class Capture:
    """What is written, in the transaction on ``using``, for the rows that it deletes."""

    def __init__(self, using: str, *, by_triggers: bool) -> None:
        self.using = using
        self.by_triggers = by_triggers
        self.token = uuid.uuid4().hex

    def write(self, planned: Planned) -> tuple[intents.Claim, Planned]:
        """Write what no trigger has written.

        Returns all of it, claimed, and what triggers have written that was not planned.
        """
        if not self.by_triggers:
            return intents.write(planned, self.using, token=self.token), {}
        written = [intent for intent in adopt(self.using, self.token) if not intent.new_keys]
        unplanned: Planned = {}
        for intent in written:
            relation = relations.get(intent.relation)
            intent.source_alias = intent.source_alias or relation.source_home
            place = (relation.field, intent.source_alias)
            known = set(planned.get(place, ()))
            found = keys.decode(intent.keys, relation.target_field)
            left = [key for key in found if key not in known]
            if left:
                unplanned.setdefault(place, []).extend(left)
        claim = intents.write(missing(planned, written), self.using, token=self.token)
        return intents.Claim(self.using, [*written, *claim.intents], self.token), unplanned

    def forget_key_changes(self) -> None:
        """Delete what triggers have written of changed keys.

        The ORM writes these itself: a swap that was followed twice would be undone.
        """
        if self.by_triggers:
            self._forget(intent for intent in adopt(self.using, self.token) if intent.new_keys)

    def forget(self) -> None:
        """Delete all that triggers have written: nothing has gone, and nothing follows."""
        if self.by_triggers:
            self._forget(adopt(self.using, self.token))

    def _forget(self, written: Iterable[CascadeIntent]) -> None:
        for chunk in keys.chunks((intent.pk for intent in written), settings.CHUNK_SIZE):
            rows = CascadeIntent.objects.using(self.using)
            rows.filter(keys.KeyIn(F("pk"), chunk))._raw_delete(self.using)


@contextmanager
def capturing(using: str, *, deleting: bool = True) -> Iterator[Capture]:
    """Let what the block deletes, in the open transaction on ``using``, be captured once.

    Without ``deleting``, nothing that is a target is deleted in the block.
    """
    capture = Capture(using, by_triggers=deleting and settings.CAPTURE != "orm")
    if not capture.by_triggers:
        yield capture
        return
    with owning(using, capture.token, intents.deletion_in_progress()):
        yield capture
