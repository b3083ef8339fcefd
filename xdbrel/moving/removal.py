"""The source's rows go, once the destination has them.

Owns the one step that there is no way back from. A batch goes in a transaction of the source
that locks its rows, compares them once more with those at the destination, and writes down
that they are gone. What was changed meanwhile stays, to be copied again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import models

from xdbrel import keys
from xdbrel.models import MoveBatch
from xdbrel.moving import edges
from xdbrel.moving.carrying.blocks import changing, unwatched
from xdbrel.moving.carrying.carrier import Carrier
from xdbrel.moving.carrying.state import State, look, refuse
from xdbrel.moving.decide import Step
from xdbrel.moving.exceptions import StillPointedAt, WriteFailed
from xdbrel.moving.parts import Part
from xdbrel.moving.record import AT_BOTH, BatchStatus
from xdbrel.moving.refusals import staying
from xdbrel.relations import handle_of

#: Keys in one statement that looks for what points at them.
CHECKED = 500

#: Of these the destination is right: the source's may go.
_SETTLED = (Step.NOTHING, Step.TO_SOURCE, Step.DELETE_AT_SOURCE)


class _NotYet(Exception):
    """A row of a group was changed: the whole group stays for now."""


@dataclass
class Remover:
    """Removes what a carrier has copied."""

    carrier: Carrier
    #: What a constraint of the source said, if it ever refused.
    refused: WriteFailed | None = None

    def remove(self, group: Sequence[Part]) -> bool:
        """Remove the batches of a group; tell whether all are gone."""
        if self.carrier.plan.is_knot(group):
            return self._remove_knot(group)
        done = True
        for part in reversed(group):
            for batch in self.carrier.record.each(part, *AT_BOTH):
                removed = self._remove_alone(part, batch)
                self._count(part, removed)
                done = done and removed is not None
        return done

    def is_empty(self, part: Part) -> bool:
        """Tell whether no chosen row is left at the source."""
        return not part.chosen.exists()

    def _remove_alone(self, part: Part, batch: MoveBatch) -> int | None:
        """Remove a batch; None where it stays for now."""
        try:
            with changing(self.carrier, part, part.source):
                return self._remove(part, batch)
        except WriteFailed as error:
            if not error.is_integrity:
                raise
            # Something points at a row by now; it may be what goes along.
            self.refused = error
            return None

    def _remove_knot(self, group: Sequence[Part]) -> bool:
        using = group[0].source
        removed: list[tuple[Part, int | None]] = []
        try:
            with changing(self.carrier, group[0], using), unwatched(using):
                for part in reversed(group):
                    for batch in self.carrier.record.each(part, *AT_BOTH):
                        removed.append((part, self._remove(part, batch)))
                        if removed[-1][1] is None:
                            raise _NotYet
        except _NotYet:
            return False
        for part, number in removed:
            self._count(part, number)
        return True

    def _remove(self, part: Part, batch: MoveBatch) -> int | None:
        """Remove a batch in the open transaction; None where it is to be copied again."""
        record = self.carrier.record
        state = look(self.carrier, part, batch, lock=True)
        refuse(part, state)
        if batch.status != BatchStatus.VERIFIED or not self._is_settled(part, state):
            return None
        going = list(state.source)
        if self._has_new_followers(part, going):
            return None
        self._check_dependants(part, going)
        part.delete(going, part.source)
        record.write(batch, status=BatchStatus.REMOVED)
        record.keep(always=True, removed=models.F("removed") + len(state.source))
        return len(state.source)

    def _is_settled(self, part: Part, state: State) -> bool:
        return all(one in _SETTLED for one in state.steps.values())

    def _has_new_followers(self, part: Part, going: Sequence[Any]) -> bool:
        """Tell whether rows have come meanwhile that go along with these.

        They are chosen by these, and nobody would find them once these are gone. Their table
        was emptied before, unless it comes before this one.
        """
        plan = self.carrier.plan
        for other in plan.parts[plan.parts.index(part) + 1 :]:
            if other.whole:
                continue
            for one in edges.following(other.model, part.model):
                for chunk in keys.chunks(going, CHECKED):
                    if other.chosen.filter(**{f"{one.attname}__in": chunk}).exists():
                        return True
        return False

    def _check_dependants(self, part: Part, going: Sequence[Any]) -> None:
        """Raise where rows have come meanwhile that point at these and stay.

        Where the database watches the relation, it says so itself.
        """
        for one in edges.incoming(part.model):
            if edges.is_constraint(one) or not one.target_field.primary_key:
                continue
            for chunk in keys.chunks(going, CHECKED):
                rows = staying(self.carrier.plan, part, one, chunk)
                if rows is not None and rows.exists():
                    raise StillPointedAt(part.label, handle_of(one), part.source)

    def _count(self, part: Part, removed: int | None) -> None:
        if removed:
            self.carrier.figures.removed += removed
            self.carrier.tell(part.label, "remove", removed)
