"""Copying rows batch by batch, and bringing both ends to the same state again.

Owns what is written to the destination. A batch is written down at the source first, with a
digest of each row, then written to the destination in one transaction; whoever goes on after
a crash looks at both ends and finishes what may have been cut short. Which end is right about
a row that differs is for ``decide``; removing is for ``removal``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import DatabaseError, connections, transaction

from xdbrel.models import MoveBatch, MoveRun
from xdbrel.moving import collisions, edges
from xdbrel.moving.decide import Step, step
from xdbrel.moving.digests import checksum
from xdbrel.moving.exceptions import (
    BothChanged,
    EndEmptied,
    NotVerified,
    RowsCollide,
    WriteFailed,
)
from xdbrel.moving.parts import Part, Row, own_writes
from xdbrel.moving.plan import Plan
from xdbrel.moving.record import AT_BOTH, BatchStatus, Record, packed, unpacked
from xdbrel.moving.result import Collision

#: How often rows are written whose targets come and go meanwhile.
ATTEMPTS = 5
#: What may have arrived, or not.
_CUT_SHORT = (BatchStatus.COPYING,)
_DELETES = {Step.DELETE_AT_DESTINATION, Step.DELETE_AT_SOURCE}


@dataclass
class Figures:
    """What one call has done."""

    copied: int = 0
    carried: int = 0
    removed: int = 0


@dataclass
class State:
    """A batch at both ends: rows by key, and the digests that decide."""

    source: dict[Any, Row]
    destination: dict[Any, Row]
    copied: dict[Any, str]
    steps: dict[Any, Step]


@dataclass
class Carrier:
    """What one process needs to write rows to either end."""

    plan: Plan
    record: Record
    size: int
    switched: bool
    captured: Mapping[str, bool]
    tell: Callable[[str, str, int], None] = lambda model, step, rows: None
    figures: Figures = field(default_factory=Figures)
    #: Rows of the table at hand that the destination gave to the source, by key.
    brought: dict[Any, str] = field(default_factory=dict)
    #: Batches with rows that were deleted at one end.
    gone: set[int] = field(default_factory=set)
    #: What a constraint said of a row that was to go at one end, if any did.
    refused: WriteFailed | None = None

    def copy(
        self, group: Sequence[Part], *, both_ways: bool = False, going_on: bool = False
    ) -> None:
        """Bring what was copied to the same state, then copy what is new.

        ``both_ways`` lets changes of the destination reach the source. ``going_on``, with a
        first copy that was cut short, looks at no more of it than what was cut short.
        """
        for part in group:
            self.guard(part)
        with self.together(group, self.plan.destination):
            for part in group:
                if both_ways and self.switched and not part.shared:
                    self._bring_back(part)
                before, self.brought = self.brought, self._brought(part)
                for batch in self.record.each(part, *(_CUT_SHORT if going_on else AT_BOTH)):
                    self._after_targets(
                        part, partial(self.settle, part, batch, both_ways=both_ways)
                    )
                self._copy_new(part, in_turn=not self.plan.is_knot(group))
                if not going_on:
                    # Each is in a batch of its place now.
                    self.record.batches(part).filter(status=BatchStatus.BROUGHT).delete()
                self.brought = before
        # Of a group, rows are there only now.
        for part in group:
            fresh = self.record.batches(part).filter(status=BatchStatus.COPYING)
            fresh.update(status=self._copied)

    @property
    def _copied(self) -> str:
        """What a batch is once it is written: read back already, where others write as well."""
        return BatchStatus.VERIFIED if self.switched else BatchStatus.COPIED

    def delete_gone(self, group: Sequence[Part]) -> None:
        """Delete at one end what was deleted at the other, as ``copy`` has found it.

        For what hangs on a group before the group itself.
        """
        with (
            self.together(group, self.plan.destination),
            self.together(group, self.plan.source),
        ):
            for part in reversed(group):
                for batch in self.record.each(part, *AT_BOTH):
                    if batch.pk in self.gone:
                        self._delete_gone(part, batch)

    def verify(self, part: Part) -> tuple[int, str]:
        """Read back what was copied; return the number of rows and their checksum."""
        rows, total = 0, "0"
        for batch in self.record.each(part, *AT_BOTH):
            self.record.keep()
            digests = unpacked(part, batch.digests)
            if batch.status != BatchStatus.VERIFIED:
                self._check_arrived(part, digests, part.destination)
                self.record.write(batch, status=BatchStatus.VERIFIED)
                self.tell(part.label, "verify", len(digests))
            rows += len(digests)
            total = checksum(digests.values(), total)
        return rows, total

    def state(self, part: Part, batch: MoveBatch, *, lock: bool = False) -> State:
        """Return how the rows of a batch stand at both ends, and what is to be done."""
        copied = unpacked(part, batch.digests)
        pending = unpacked(part, batch.pending)
        if batch.status == BatchStatus.COPYING:
            pending = copied
        here: dict[Any, Row] = {}
        if not lock:
            after = None if batch.after is None else part.decode(batch.after)
            here = {part.key(row): row for row in part.between(after, part.decode(batch.upto))}
        here |= part.by_keys((key for key in copied if key not in here), part.source, lock=lock)
        wanted = dict.fromkeys((*here, *copied))
        there = part.by_keys(wanted, part.destination)
        # Before it was read back, a row that is other there may be one that was spoiled.
        trusted = self.switched and batch.status == BatchStatus.VERIFIED
        steps = {
            key: step(
                part.digest(here[key]) if key in here else None,
                copied.get(key, self.brought.get(key)),
                part.digest(there[key]) if key in there else None,
                switched=trusted or key in self.brought,
                pending=None if key in self.brought else pending.get(key),
                shared=part.shared,
            )
            for key in wanted
        }
        return State(here, there, copied, steps)

    def settle(
        self,
        part: Part,
        batch: MoveBatch,
        between: Callable[[], None] | None = None,
        *,
        both_ways: bool,
    ) -> None:
        """Bring the rows of a batch to the same state at both ends, but for deletes.

        ``between`` is called once the rows are read, before any is written.
        """
        self.record.keep()
        state = self.state(part, batch)
        self.refuse(part, state)
        if _DELETES.intersection(state.steps.values()):
            self.gone.add(batch.pk)
        to_destination = [key for key, one in state.steps.items() if one is Step.TO_DESTINATION]
        to_source = [key for key, one in state.steps.items() if one is Step.TO_SOURCE]
        if between is not None:
            between()
        written: set[Any] = set()
        if to_destination:
            written = self._to_destination(part, batch, state, to_destination)
        # Whatever became of them since: by what they were it is told.
        brought = {key: self.brought[key] for key in state.source.keys() & self.brought.keys()}
        digests = brought | state.copied
        for key, one in state.steps.items():
            if one is Step.NOTHING or key in written:
                if key in state.source:
                    digests[key] = part.digest(state.source[key])
                else:
                    digests.pop(key, None)
        if to_source and both_ways:
            self._to_source(part, batch, state, to_source, digests)
        if digests != state.copied or batch.pending is not None:
            self.record.write(batch, digests=packed(part, digests), pending=None)

    def _after_targets(
        self, part: Part, write: Callable[[Callable[[], None]], None], *, both_ways: bool = False
    ) -> None:
        """Write rows; where they point at what was written since, copy that first.

        Somebody may write a row and one that points at it between the copies of their tables,
        or delete both. ``write`` is given what to do between reading its rows and writing them.
        """

        def copy_targets() -> None:
            aims = {edges.target(one) for one in edges.outgoing(part.model)} - {part.model}
            for group in self.plan.groups:
                if part not in group and any(one.model in aims for one in group):
                    # All of it: not every new key lies behind the last.
                    self.copy(group, both_ways=both_ways)

        for attempt in range(ATTEMPTS):
            try:
                write(copy_targets if attempt else _nothing)
                return
            except WriteFailed as error:
                if not error.is_integrity or attempt == ATTEMPTS - 1:
                    raise

    def refuse(self, part: Part, state: State) -> None:
        """Raise where a row collides, or was changed at both ends."""
        for kind in (Step.COLLISION, Step.CONFLICT):
            found = [key for key, one in state.steps.items() if one is kind]
            if found and kind is Step.COLLISION:
                collision = Collision(part.label, collisions.PRIMARY_KEY, part.destination, found)
                raise RowsCollide(part.destination, [collision], written=True)
            if found:
                raise BothChanged(part.label, part.source, part.destination, found)

    def guard(self, part: Part) -> None:
        """Refuse to take an end that was emptied for one whose rows were all deleted."""
        held = self.record.batches(part).filter(status__in=AT_BOTH)
        if not held.exists():
            return
        ends = {alias: part.all(alias).exists() for alias in (part.source, part.destination)}
        verified = held.filter(status=BatchStatus.VERIFIED).exists()
        if not ends[part.source] and ends[part.destination]:
            raise EndEmptied(part.label, part.source, part.destination)
        if not ends[part.destination] and ends[part.source] and verified and self.switched:
            raise EndEmptied(part.label, part.destination, part.source)

    def _copy_new(self, part: Part, *, in_turn: bool) -> None:
        """Copy the rows behind the last batch; ``in_turn``, one is there before the next."""
        last = self.record.last(part)
        after = None if last is None else part.decode(last.upto)
        while True:
            rows = part.page(after, self.size)
            if not rows:
                return
            upto = part.key(rows[-1])
            batch = self.record.add(
                part, after, upto, {part.key(row): part.digest(row) for row in rows}
            )
            known = self._known(part, rows)
            if known:
                digests = unpacked(part, batch.digests) | known
                self.record.write(batch, digests=packed(part, digests))
            write = partial(self._write_new, part, batch, rows, at_once=not known)
            self._after_targets(part, write)
            if in_turn:
                self.record.write(batch, status=self._copied)
            self.figures.copied += len(rows)
            self.tell(part.label, "copy", len(rows))
            if len(rows) < self.size:
                # Where somebody writes all the time, there would be a next page for ever.
                return
            after = upto

    def _write_new(
        self,
        part: Part,
        batch: MoveBatch,
        rows: Sequence[Row],
        between: Callable[[], None],
        *,
        at_once: bool,
    ) -> None:
        if at_once and not self.switched and between is _nothing:
            self._insert(part, rows)
        else:
            # Some may be at the destination: brought back from there, or written to the
            # source again after they had left it. Or they have changed since they were read.
            self.settle(part, batch, between, both_ways=False)

    def _known(self, part: Part, rows: Sequence[Row]) -> dict[Any, str]:
        """Return the digests of those rows that have left the source before."""
        wanted = {part.key(row) for row in rows}
        found = {key: self.brought[key] for key in wanted & self.brought.keys()}
        if self.record.row.status == MoveRun.Status.REMOVING:
            for batch in self.record.each(part, BatchStatus.REMOVED):
                digests = unpacked(part, batch.digests)
                found |= {key: digests[key] for key in wanted & digests.keys()}
        return found

    def _brought(self, part: Part) -> dict[Any, str]:
        found: dict[Any, str] = {}
        for batch in self.record.each(part, BatchStatus.BROUGHT):
            found |= unpacked(part, batch.digests)
        return found

    def _bring_back(self, part: Part) -> None:
        """Copy rows that are new at the destination to the source, so that there is a way back.

        They are found again in the places of their keys, as rows that both ends have.
        """
        known: set[Any] = set()
        for batch in self.record.each(part, *AT_BOTH):
            known |= unpacked(part, batch.digests).keys()
        after = None
        while True:
            rows = part.all(part.destination).order_by("pk")
            if after is not None:
                rows = rows.filter(pk__gt=after)
            page = part.read(rows[: self.size], part.destination)
            if not page:
                return
            after = part.key(page[-1])
            fresh = [row for row in page if part.key(row) not in known]
            standing = part.by_keys(map(part.key, fresh), part.source)
            fresh = [row for row in fresh if part.key(row) not in standing]
            if not fresh:
                if len(page) < self.size:
                    return
                continue
            bring = partial(self._bring, part, [part.key(row) for row in fresh])
            self._after_targets(part, bring, both_ways=True)
            if len(page) < self.size:
                return

    def _bring(self, part: Part, wanted: Sequence[Any], between: Callable[[], None]) -> None:
        """Insert rows of the destination into the source, as they are by now."""
        rows = part.by_keys(wanted, part.destination)
        if not rows:
            return
        between()
        digests = {key: part.digest(row) for key, row in rows.items()}
        first = next(iter(rows))
        with self.writing(part, part.source), transaction.atomic(using=part.source):
            part.insert(list(rows.values()), part.source)
            self._check_arrived(part, digests, part.source)
            self.record.add(part, first, first, digests, status=BatchStatus.BROUGHT)
        self.figures.carried += len(rows)

    def _insert(self, part: Part, rows: Sequence[Row]) -> None:
        try:
            with (
                self.writing(part, part.destination),
                transaction.atomic(using=part.destination),
            ):
                part.insert(rows, part.destination)
                if self.switched:
                    # As long as nobody else can see them: then they are anybody's.
                    digests = {part.key(row): part.digest(row) for row in rows}
                    self._check_arrived(part, digests, part.destination)
        except WriteFailed as error:
            found = collisions.among(part, rows) if error.is_integrity else []
            if found:
                raise RowsCollide(part.destination, found, written=True) from error
            raise

    def _to_destination(
        self, part: Part, batch: MoveBatch, state: State, wanted: Sequence[Any]
    ) -> set[Any]:
        """Write rows of the source to the destination; return the keys of those written.

        What has changed there since it was looked at is left for the next time.
        """
        digests = {key: part.digest(state.source[key]) for key in wanted}
        new = {key: one for key, one in digests.items() if key not in state.copied}
        self.record.write(
            batch,
            digests=packed(part, state.copied | new),
            pending=packed(part, digests),
        )
        alias = part.destination
        with (
            self.writing(part, alias),
            transaction.atomic(using=alias),
            own_writes(alias, captured=self.captured[alias]),
        ):
            there = self._unchanged(part, alias, wanted, state.destination)
            absent = [key for key in wanted if key not in state.destination]
            part.update([state.source[key] for key in there], alias)
            if absent:
                self._insert(part, [state.source[key] for key in absent])
            written = {*there, *absent}
            self._check_arrived(part, {key: digests[key] for key in written}, alias)
        self.figures.carried += len(written)
        return written

    def _to_source(
        self,
        part: Part,
        batch: MoveBatch,
        state: State,
        wanted: Sequence[Any],
        digests: dict[Any, str],
    ) -> None:
        alias = part.source
        with (
            self.writing(part, alias),
            transaction.atomic(using=alias),
            own_writes(alias, captured=self.captured[alias]),
        ):
            keys = self._unchanged(part, alias, wanted, state.source)
            rows = {key: state.destination[key] for key in keys}
            part.update(rows.values(), alias)
            arrived = {key: part.digest(row) for key, row in rows.items()}
            self._check_arrived(part, arrived, alias)
            digests |= arrived
            self.record.write(batch, digests=packed(part, digests), pending=None)
        self.figures.carried += len(rows)

    def _delete_gone(self, part: Part, batch: MoveBatch) -> None:
        state = self.state(part, batch)
        for kind, alias, rows in (
            (Step.DELETE_AT_DESTINATION, part.destination, state.destination),
            (Step.DELETE_AT_SOURCE, part.source, state.source),
        ):
            gone = [key for key, one in state.steps.items() if one is kind]
            if not gone:
                continue
            try:
                with (
                    self.writing(part, alias),
                    transaction.atomic(using=alias),
                    own_writes(alias, captured=self.captured[alias]),
                ):
                    gone = self._unchanged(part, alias, gone, rows)
                    part.delete(gone, alias)
            except WriteFailed as error:
                if not error.is_integrity:
                    raise
                # What points at a row went after it was looked at: the next time will do.
                self.refused = error
                continue
            left = {key: one for key, one in state.copied.items() if key not in gone}
            self.record.write(batch, digests=packed(part, left))
            self.figures.carried += len(gone)

    def _unchanged(
        self, part: Part, alias: str, wanted: Sequence[Any], seen: Mapping[Any, Row]
    ) -> list[Any]:
        """Lock rows, and return the keys of those that are still as they were seen."""
        rows = part.by_keys((key for key in wanted if key in seen), alias, lock=True)
        return [key for key, row in rows.items() if part.digest(row) == part.digest(seen[key])]

    def _check_arrived(self, part: Part, digests: Mapping[Any, str], alias: str) -> None:
        there = part.by_keys(digests, alias)
        missing = [key for key in digests if key not in there]
        if missing:
            raise NotVerified(part.label, alias, missing, "are not there any more")
        other = [key for key, row in there.items() if part.digest(row) != digests[key]]
        if other:
            raise NotVerified(part.label, alias, other, "are not as they were at the other end")

    @contextmanager
    def writing(self, part: Part, alias: str) -> Iterator[None]:
        """Say of which table's rows a database error speaks."""
        try:
            yield
        except DatabaseError as error:
            raise WriteFailed(part.label, alias, error) from error

    @contextmanager
    def together(self, group: Sequence[Part], alias: str) -> Iterator[None]:
        """Let the rows of a group be written in one transaction, where they need each other."""
        if not self.plan.is_knot(group):
            with nullcontext():
                yield
            return
        with self.writing(group[0], alias), transaction.atomic(using=alias), unwatched(alias):
            yield


def _nothing() -> None:
    """Do nothing between reading and writing."""


@contextmanager
def unwatched(alias: str) -> Iterator[None]:
    """Let a database that cannot wait for the end of a transaction not look at constraints."""
    connection = connections[alias]
    if connection.features.can_defer_constraint_checks:
        yield
        return
    with connection.constraint_checks_disabled():
        yield
