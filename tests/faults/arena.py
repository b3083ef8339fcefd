"""One fault run: processes delete, write and relay on shared databases, and are killed.

``python -m tests.faults.arena --run deletes --kills 200`` makes the databases, lets the
processes loose, waits until the relays have nothing left to do, prints a report as JSON
and drops the databases. ``DJANGO_SETTINGS_MODULE`` is ``tests.faults.settings``,
``tests.faults.kinds_settings`` or ``tests.faults.sample_settings``; ``XDBREL_LAYOUT`` and
``XDBREL_FAULT_FOLDER`` go with it.

``deletes``  deleters and relays are killed while others write; every way to delete
``relays``   four relays are killed while they work at a backlog of hundreds of intents
``steps``    a deleter of one target of each kind is killed at every step that it takes
"""

from __future__ import annotations

import argparse
import itertools
import json
import mmap
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import django

django.setup()

from django.db import Error, connections, transaction  # noqa: E402
from django.db.models import ProtectedError  # noqa: E402

import xdbrel  # noqa: E402
from tests.faults import journal as journals  # noqa: E402
from tests.faults.journal import Journal  # noqa: E402
from tests.faults.processes import AT_RANDOM, Fuse, Slot, ended_well, fork  # noqa: E402
from tests.faults.verdict import found_wrong  # noqa: E402
from tests.faults.world import world  # noqa: E402
from xdbrel import placement, relations  # noqa: E402
from xdbrel.cascade.relay import intent_aliases, relay  # noqa: E402
from xdbrel.integrity.repair import repair  # noqa: E402
from xdbrel.integrity.scan import scan  # noqa: E402
from xdbrel.models import CascadeIntent  # noqa: E402

Status = CascadeIntent.Status

#: A writer that holds a user for longer than this writes nothing: the second look, 4 s
#: after the first, is for those who commit before it.
LATEST_SECONDS = 1.5
DRAIN_SECONDS = 120.0
POPULATION = 40
RUNS = ("deletes", "relays", "steps")
BACKLOG = 100


class RolledBack(Exception):
    """Ends a block whose delete shall not have happened."""


class TooLate(Exception):
    """A writer has held a user for too long."""


class Arena:
    def __init__(self, folder: str, seed: int) -> None:
        self.journal = Journal(os.path.join(folder, "journal.jsonl"))
        self.seed = seed
        self.world = world()
        # Shared by all processes: when not zero, writers come to an end.
        self.stopping = mmap.mmap(-1, 1)

    # What processes do.

    def delete(self, rng: random.Random, fuse: Fuse) -> None:
        """Delete targets, and now and then what is between, in every way, until killed."""
        ways = [
            self._instance,
            self._queryset,
            self._in_atomic,
            self._in_atomic_of_all,
            self._in_blocks_of_two,
            self._between,
        ]
        known: dict[Any, list[Any]] = {model: _pks(model) for model in self.world.targets}
        fuse.light()
        while True:
            model = rng.choice(self.world.targets)
            if len(known[model]) < 10:
                known[model] = _pks(model)
                if len(known[model]) < 10:
                    time.sleep(0.005)
                    continue
            pks = known[model]
            chosen = [pks.pop(rng.randrange(len(pks))) for _ in range(rng.randint(1, 4))]
            try:
                rng.choice(ways)(rng, model, chosen)
            except Error as error:
                # The outcome stays open.
                self.journal.note(event="error", role="deleter", error=repr(error)[:200])

    def delete_one(self, model: Any, pk: Any, fuse: Fuse) -> None:
        """Delete one target, and come to an end, unless killed."""
        target = model._base_manager.using(placement.home(model)).get(pk=pk)
        self.journal.attempt(model, [pk])
        fuse.light()
        target.delete()

    @contextmanager
    def _trying(self, model: Any, pks: list[Any]) -> Iterator[None]:
        attempt = self.journal.attempt(model, pks)
        try:
            yield
        except (RolledBack, ProtectedError):
            self.journal.outcome(attempt, journals.KEPT)
        else:
            self.journal.outcome(attempt, journals.GONE)

    def _instance(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        target = model.objects.filter(pk=pks[0]).first()
        if target is not None:
            with self._trying(model, pks[:1]):
                target.delete()

    def _queryset(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        with self._trying(model, pks):
            model.objects.filter(pk__in=pks).delete()

    def _in_atomic(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        with self._trying(model, pks), transaction.atomic(using=placement.home(model)):
            self._each(rng, model, pks)

    def _in_atomic_of_all(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        first = placement.home(model)
        others = [alias for alias in self.world.homes if alias != first]
        with self._trying(model, pks), xdbrel.atomic(first, *others):
            self._each(rng, model, pks)

    def _in_blocks_of_two(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        """Targets commit first in this order of blocks too."""
        first = placement.home(model)
        other = next(alias for alias in self.world.homes[1:] if alias != first)
        with (
            self._trying(model, pks),
            transaction.atomic(using=other),
            transaction.atomic(using=first),
        ):
            self._each(rng, model, pks)

    def _each(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        for target in model.objects.filter(pk__in=pks):
            target.delete()
        if rng.random() < 0.3:
            raise RolledBack

    def _between(self, rng: random.Random, model: Any, pks: list[Any]) -> None:
        """A target that is a source itself."""
        target = self.world.between(rng)
        if target is not None:
            with self._trying(type(target), [target.pk]):
                target.delete()

    def insert(self, rng: random.Random, number: int) -> None:
        """Write for random targets, and new ones, until stopped; often for those just deleted."""
        pk = number * 10_000_000
        while not self.stopping[0]:
            try:
                if any(model.objects.count() < POPULATION for model in self.world.targets):
                    pk += 1
                    self.world.newcomer(pk, rng, self.journal)
                self._insert_one(rng)
            except (Error, TooLate) as error:
                # A deadlock, a row or a target that is gone: nothing was written.
                self.journal.note(event="error", role="writer", error=repr(error)[:200])

    def _insert_one(self, rng: random.Random) -> None:
        began = time.monotonic()
        model = rng.choice(self.world.targets)
        target = rng.choice(list(model.objects.order_by("pk")))
        late = False
        # Some think for long, and whom they have read is deleted meanwhile.
        time.sleep(0.4 * rng.random() ** 2)

        def in_time() -> None:
            nonlocal late
            if time.monotonic() - began > LATEST_SECONDS:
                raise TooLate
            late = not model.objects.filter(pk=target.pk).exists()

        write = rng.choice(self.world.writes(target))
        written = self.world.write(write, target, rng, self.journal, in_time)
        if late:
            self.journal.note(event="late", rows=written)

    def relay(self, rng: random.Random, fuse: Fuse) -> None:
        """Relay until killed."""
        fuse.light()
        while True:
            if not relay().applied:
                time.sleep(0.005)

    def drain(self) -> None:
        """Relay until every intent is confirmed, or there is no sense in going on."""
        until = time.monotonic() + DRAIN_SECONDS
        while time.monotonic() < until:
            relay()
            if not unconfirmed():
                return
            time.sleep(0.02)

    def make_backlog(self, first: int) -> None:
        """Write targets, delete them in one transaction, and die as soon as it has committed."""
        rng = random.Random(f"{self.seed} {first}")
        for pk in range(first, first + BACKLOG // len(self.world.targets)):
            self.world.newcomer(pk, rng, self.journal)
        using = self.world.homes[0]
        kept = self.world.protected()
        models = [model for model in self.world.targets if placement.home(model) == using]
        going = {model: [pk for pk in _pks(model) if pk not in kept] for model in models}
        for model, pks in going.items():
            self.journal.attempt(model, pks)
        with transaction.atomic(using=using):
            for model, pks in going.items():
                for target in model.objects.filter(pk__in=pks):
                    target.delete()
            # First among those who are called after the commit.
            connections[using].run_on_commit.insert(
                0, (set(), lambda: os.kill(os.getpid(), signal.SIGKILL), False)
            )

    # Runs.

    def run_deletes(self, kills: int) -> list[Slot]:
        slots = [
            *(self._slot("deleter", self.delete, number) for number in range(3)),
            *(self._slot("relay", self.relay, number) for number in range(2)),
        ]
        writers = [
            fork(lambda n=number: self.insert(random.Random(f"{self.seed} writer {n}"), n))
            for number in (1, 2, 3)
        ]
        try:
            for slot in self._killing(slots):
                if killed(slots, "deleter") >= kills:
                    break
                slot.start()
        finally:
            self.stopping[0] = 1
            ended = [ended_well(pid, 60.0) for pid in writers]
        if not all(ended):
            raise RuntimeError("a writer has failed, see its traceback")
        return slots

    def run_relays(self, kills: int) -> list[Slot]:
        slots = [self._slot("relay", self.relay, number) for number in range(4)]
        first = 1
        for slot in self._killing(slots):
            if killed(slots, "relay") >= kills:
                break
            # Backlogs are made while relays are at work.
            if first == 1 or waiting() < BACKLOG:
                pid = fork(lambda first=first: self.make_backlog(first))
                if ended_well(pid, 60.0):
                    raise RuntimeError("who made the backlog was to be killed")
                first += BACKLOG
            slot.start()
        return slots

    def run_steps(self, kills: int) -> list[Slot]:
        """Kill a deleter of a target of each kind at its first step, then at its second …"""
        rng = random.Random(f"{self.seed} steps")
        dying = list(self.world.targets)
        for step in itertools.count(1):
            self.world.newcomer(step, rng, self.journal)
            for model in list(dying):
                fuse = Fuse(step, False, "deleter", self.journal)
                key = self.world.key(model, step)
                pid = fork(partial(self.delete_one, model, key, fuse))
                if ended_well(pid, 60.0):
                    # All of its steps have been someone's last.
                    dying.remove(model)
                    self.journal.note(event="steps", model=model._meta.label, steps=step - 1)
            if not dying:
                return []
        raise AssertionError

    def repair(self) -> int:
        """Delete what dangles in its target's own database; return how many rows it was.

        No intent speaks of what was written there while the target was being deleted: where
        both share a home, it is for scans.
        """
        repaired = 0
        for relation in relations.all_relations():
            beside = relation.source in self.world.watched and not relation.crosses
            if beside and scan(relation, fresh=True).orphans:
                repaired += repair(relation, "delete").rows
        return repaired

    def _slot(self, role: str, work: Callable[[random.Random, Fuse], None], number: int) -> Slot:
        rng = random.Random(f"{self.seed} {role} {number}")
        return Slot(role, work, self.journal, rng, steps=120, seconds=0.15)

    def _killing(self, slots: list[Slot]) -> Iterator[Slot]:
        """Yield each slot whose process has to be started, for as long as it is asked."""
        try:
            while True:
                for slot in slots:
                    slot.watch()
                    if slot.pid is None:
                        if slot.died:
                            raise RuntimeError(f"a {slot.role} has failed, see its traceback")
                        yield slot
                time.sleep(0.001)
        finally:
            for slot in slots:
                slot.end()


def _pks(model: Any) -> list[Any]:
    return list(model.objects.order_by("pk").values_list("pk", flat=True))


def killed(slots: list[Slot], role: str) -> int:
    return sum(slot.killed.total() for slot in slots if slot.role == role)


def unconfirmed() -> int:
    return sum(
        CascadeIntent.objects.using(alias).exclude(status=Status.CONFIRMED).count()
        for alias in intent_aliases()
    )


def waiting() -> int:
    return sum(
        CascadeIntent.objects.using(alias).filter(status=Status.PENDING).count()
        for alias in intent_aliases()
    )


def run(name: str, kills: int, seed: int) -> dict[str, Any]:
    """Make the databases, run, judge, drop the databases; return the report."""
    folder = os.environ["XDBREL_FAULT_FOLDER"]
    made = []
    try:
        for alias in connections:
            old = connections[alias].settings_dict["NAME"]
            connections[alias].creation.create_test_db(
                verbosity=0, autoclobber=True, serialize=False
            )
            made.append((alias, old))
        return _run(Arena(folder, seed), name, kills)
    finally:
        for alias, old in made:
            connections[alias].creation.destroy_test_db(old, verbosity=0)


def _run(arena: Arena, name: str, kills: int) -> dict[str, Any]:
    began = time.monotonic()
    slots = getattr(arena, f"run_{name}")(kills)
    fought = time.monotonic() - began
    relays = [fork(arena.drain) for _ in range(3)]
    ended = [ended_well(pid, DRAIN_SECONDS + 30) for pid in relays]
    wrong = [] if all(ended) else ["a relay did not come to its end, see its traceback"]
    for alias in intent_aliases():
        left = CascadeIntent.objects.using(alias).exclude(status=Status.CONFIRMED)
        wrong += [
            f"intent {intent.pk} in {alias} is {intent.status} after {intent.attempts} attempts: "
            f"{intent.relation} {intent.keys} {intent.last_error}"
            for intent in left
        ]
    repaired = arena.repair()
    wrong += found_wrong(arena.journal, arena.world.watched)
    places: dict[str, Counter[str]] = {}
    for slot in slots:
        places.setdefault(slot.role, Counter())[AT_RANDOM] += slot.killed[AT_RANDOM]
    for event in arena.journal.events("killed"):
        places.setdefault(event["role"], Counter())[event["place"]] += 1
    events = Counter(event["event"] for event in arena.journal.events())
    deletes = journals.Deletes(arena.journal)
    return {
        "run": name,
        "seed": arena.seed,
        "killed": {role: dict(counts) for role, counts in places.items()},
        "rows": events["row"],
        "rows written late": sum(event["rows"] for event in arena.journal.events("late")),
        "rows found by scans": repaired,
        "steps": {event["model"]: event["steps"] for event in arena.journal.events("steps")},
        "deletes tried": events["attempt"],
        "rows asked to go": len(deletes.asked),
        "errors": dict(
            Counter(
                f"{event['role']}: {event['error'].split('(')[0]}"
                for event in arena.journal.events("error")
            )
        ),
        "seconds": [round(fought, 1), round(time.monotonic() - began - fought, 1)],
        "wrong": wrong,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", choices=RUNS, default="deletes")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = random.randrange(10**6) if options.seed is None else options.seed
    report = run(options.run, options.kills, seed)
    json.dump(report, sys.stdout)
    return 1 if report["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
