"""Where everything stands: scans, findings, repairs and backlogs, in figures.

Owns what operators read, in the same words for the command, the metrics and JSON. It reads
what is on record and counts no source again; how many queries that takes depends on the
number of databases alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, F, Max, Sum, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from xdbrel import relations
from xdbrel.caching import uncached
from xdbrel.cascade.backlog import Backlog, RelationBacklog, backlog
from xdbrel.cascade.relay import intent_aliases
from xdbrel.conf import settings
from xdbrel.exceptions import HomeError
from xdbrel.integrity import heartbeats, history
from xdbrel.integrity.heartbeats import Silence
from xdbrel.models import RepairRun, ScanRun

#: So many complete runs, the last ones, make the trend.
TREND = 5

Status = ScanRun.Status


@dataclass(frozen=True)
class RunFigures:
    """One run: what it looked at and found; ``age`` is in seconds since it began."""

    run: int
    mode: str
    status: str
    strategy: str
    started_at: datetime
    finished_at: datetime | None
    confirmed_at: datetime | None
    age: float
    seconds: float | None
    keys: int
    orphans: int
    distinct_keys: int
    error: str

    @classmethod
    def of(cls, run: ScanRun, now: datetime) -> RunFigures:
        """Return the figures of ``run`` as of ``now``."""
        return cls(
            run=run.pk,
            mode=run.mode,
            status=run.status,
            strategy=run.strategy,
            started_at=run.started_at,
            finished_at=run.finished_at,
            confirmed_at=run.confirmed_at,
            age=round((now - run.started_at).total_seconds(), 3),
            seconds=run.seconds,
            keys=run.seen,
            orphans=run.orphans,
            distinct_keys=run.distinct_keys,
            error=run.last_error,
        )


@dataclass(frozen=True)
class RepairFigures:
    """The last repair of a relation."""

    repair: int
    policy: str
    status: str
    dry_run: bool
    actor: str
    started_at: datetime
    seconds: float | None
    keys: int
    rows: int
    error: str


@dataclass
class RelationStatus:
    """Where one relation stands.

    ``full`` and ``incremental`` are the last complete runs of either kind, ``last`` the last
    run of all, which may have failed. ``orphans`` are those that the last complete run found
    without what has been repaired since, ``orphans_before`` those that the complete run before
    it found; None where there was none. ``trend`` has the orphans that the last complete
    runs found, the oldest first. ``repairs`` are the numbers of repairs on record by status.
    """

    relation: str
    source_alias: str | None = None
    target_alias: str | None = None
    full: RunFigures | None = None
    incremental: RunFigures | None = None
    last: RunFigures | None = None
    orphans: int | None = None
    orphans_before: int | None = None
    repaired: int = 0
    trend: list[int] = field(default_factory=list)
    scans: dict[str, int] = field(default_factory=dict)
    repairs: dict[str, int] = field(default_factory=dict)
    last_repair: RepairFigures | None = None
    backlog: RelationBacklog | None = None
    error: str = ""

    @property
    def direction(self) -> str:
        """Say where the trend goes: ``up``, ``down`` or ``same``; "" with less than two runs."""
        if self.orphans is None or self.orphans_before is None:
            return ""
        if self.orphans == self.orphans_before:
            return "same"
        return "up" if self.orphans > self.orphans_before else "down"

    @property
    def problems(self) -> list[str]:
        """What somebody should look into, in words."""
        found = [self.error] if self.error else []
        if self.full is None and self.incremental is None:
            found.append("was never scanned to the end")
        elif self.orphans:
            found.append(f"has {self.orphans} orphans")
        if self.last is not None and self.last.status == Status.FAILED:
            found.append(f"run {self.last.run} failed: {self.last.error}")
        if self.last_repair is not None and self.last_repair.status == RepairRun.Status.FAILED:
            found.append(f"repair {self.last_repair.repair} failed: {self.last_repair.error}")
        if self.backlog is not None and self.backlog.late:
            found.append(f"{self.backlog.depth} intents wait, and are late")
        if self.backlog is not None and self.backlog.set_aside:
            found.append(f"{self.backlog.set_aside} intents were set aside")
        return found

    def as_dict(self) -> dict[str, Any]:
        """Return the figures as JSON has them, times in ISO format."""
        figures = asdict(self)
        figures["direction"] = self.direction
        figures["problems"] = self.problems
        if self.backlog is not None:
            figures["backlog"]["late"] = self.backlog.late
        plain: dict[str, Any] = _plain(figures)
        return plain


@dataclass(frozen=True)
class HeartbeatFigures:
    """When a kind of work was last done by a worker; ``age`` is in seconds."""

    work: str
    ran_at: datetime
    worker: str
    age: float


@dataclass
class StatusReport:
    """Where the relations stand, and who works at them."""

    relations: list[RelationStatus] = field(default_factory=list)
    heartbeats: list[HeartbeatFigures] = field(default_factory=list)
    #: The kinds of work that no worker has done for too long, or ever.
    silent: list[Silence] = field(default_factory=list)
    backlog: Backlog = field(default_factory=Backlog)
    #: The databases that hold intents, whether they answered or not.
    aliases: list[str] = field(default_factory=list)

    @property
    def problems(self) -> dict[str, list[str]]:
        """What somebody should look into, by handle of the relation or alias."""
        found = {one.relation: one.problems for one in self.relations if one.problems}
        for alias, error in self.backlog.unreachable.items():
            found.setdefault(alias, []).append(f"cannot be asked: {error}")
        # Who has no workers does the work by other means.
        if self.heartbeats:
            for silence in self.silent:
                found.setdefault("workers", []).append(_silence(silence))
        return found

    @property
    def warnings(self) -> list[str]:
        """What may be meant to be so."""
        if self.heartbeats:
            return []
        return ["No worker has run yet: is there one, or something else that does its work?"]

    @property
    def clean(self) -> bool:
        """Whether there is nothing to look into."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON has it."""
        return {
            "clean": self.clean,
            "problems": self.problems,
            "warnings": self.warnings,
            "relations": [one.as_dict() for one in self.relations],
            "heartbeats": [_plain(asdict(one)) for one in self.heartbeats],
            "silent": [one.as_dict() for one in self.silent],
            "unreachable": dict(self.backlog.unreachable),
        }


def status(handles: Sequence[str] = ()) -> StatusReport:
    """Return where these relations stand, or all of them.

    A database whose intents cannot be read is named in the report. Raises
    ``UnknownRelation``, and what ``XDBREL["INTEGRITY_DATABASE"]`` raises.
    """
    chosen = [relations.get(handle) for handle in handles] or relations.all_relations()
    report = StatusReport(backlog=backlog(), aliases=intent_aliases())
    by_handle = {one.handle: RelationStatus(one.handle) for one in chosen}
    report.relations = list(by_handle.values())
    for relation in chosen:
        one = by_handle[relation.handle]
        try:
            one.source_alias, one.target_alias = relation.source_home, relation.target_home
        except HomeError as error:
            one.error = str(error)
    for waiting in report.backlog.relations:
        known = by_handle.get(waiting.relation)
        if known is not None:
            known.backlog = waiting
    with uncached():
        using = settings.INTEGRITY_DATABASE
        now = timezone.now()
        _scans(by_handle, using, now)
        _repairs(by_handle, using)
        report.heartbeats = [
            HeartbeatFigures(
                row.work, row.ran_at, row.worker, round((now - row.ran_at).total_seconds(), 3)
            )
            for _, row in sorted(heartbeats.last().items())
        ]
        report.silent = heartbeats.silent()
    return report


def _scans(by_handle: Mapping[str, RelationStatus], using: str, now: datetime) -> None:
    runs = ScanRun.objects.using(using).filter(relation__in=list(by_handle)).order_by()
    last: dict[str, int] = {}
    newest: dict[tuple[str, str], int] = {}
    counted = runs.values_list("relation", "mode", "status")
    for handle, mode, state, pk, number in counted.annotate(Max("id"), Count("id")):
        scans = by_handle[handle].scans
        scans[state] = scans.get(state, 0) + number
        if mode == ScanRun.Mode.SAMPLE:
            continue
        last[handle] = max(pk, last.get(handle, 0))
        if state == Status.COMPLETE:
            newest[handle, mode] = pk
    found = runs.in_bulk({*last.values(), *newest.values()})
    for handle, pk in last.items():
        by_handle[handle].last = RunFigures.of(found[pk], now)
    for (handle, mode), pk in newest.items():
        figures = RunFigures.of(found[pk], now)
        if mode == ScanRun.Mode.FULL:
            by_handle[handle].full = figures
        else:
            by_handle[handle].incremental = figures
    _orphans(by_handle, using)


def _orphans(by_handle: Mapping[str, RelationStatus], using: str) -> None:
    nth = Window(
        RowNumber(), partition_by="relation", order_by=(F("started_at").desc(), F("id").desc())
    )
    complete = history.complete(using).filter(relation__in=list(by_handle))
    latest: dict[str, tuple[int, int]] = {}
    rows = complete.annotate(nth=nth).filter(nth__lte=TREND).order_by("relation", "nth")
    for handle, pk, orphans in rows.values_list("relation", "id", "orphans"):
        latest.setdefault(handle, (pk, orphans))
        by_handle[handle].trend.insert(0, orphans)
    repaired: dict[int, int] = dict(
        RepairRun.objects.using(using)
        .filter(run_id__in=[pk for pk, _ in latest.values()], dry_run=False)
        .exclude(policy="report")
        .order_by()
        .values_list("run_id")
        .annotate(Sum("rows"))
    )
    for handle, (pk, orphans) in latest.items():
        one = by_handle[handle]
        one.repaired = repaired.get(pk, 0)
        one.orphans = max(orphans - one.repaired, 0)
        one.orphans_before = one.trend[-2] if len(one.trend) > 1 else None


def _repairs(by_handle: Mapping[str, RelationStatus], using: str) -> None:
    repairs = RepairRun.objects.using(using).filter(relation__in=list(by_handle)).order_by()
    newest: dict[str, int] = {}
    counted = repairs.values_list("relation", "status").annotate(Max("id"), Count("id"))
    for handle, state, pk, number in counted:
        newest[handle] = max(pk, newest.get(handle, 0))
        by_handle[handle].repairs[state] = number
    # A mapping may be as long as the table.
    found = repairs.defer("options").in_bulk(newest.values())
    for handle, pk in newest.items():
        row = found[pk]
        by_handle[handle].last_repair = RepairFigures(
            repair=row.pk,
            policy=row.policy,
            status=row.status,
            dry_run=row.dry_run,
            actor=row.actor,
            started_at=row.started_at,
            seconds=row.seconds,
            keys=row.keys,
            rows=row.rows,
            error=row.last_error,
        )


def _silence(silence: Silence) -> str:
    since = "ever" if silence.ran_at is None else f"since {silence.ran_at:%Y-%m-%d %H:%M}"
    return f"nobody has done {silence.work!r} {since}"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value
