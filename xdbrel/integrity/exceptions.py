"""The errors of scanning and repairing, each a child of ``XdbrelError``."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Sequence

from xdbrel.exceptions import XdbrelError


class UnknownStrategy(XdbrelError, LookupError):
    """There is no strategy of that name. Attributes: ``name``, ``known``."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(_unknown("scan strategy", name, self.known))


class UnknownPolicy(XdbrelError, LookupError):
    """There is no repair policy of that name. Attributes: ``name``, ``known``."""

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(_unknown("repair policy", name, self.known))


class UnsuitableStrategy(XdbrelError, ValueError):
    """The strategy does not work for keys of this type. Attributes: ``relation``, ``name``."""

    def __init__(self, relation: str, name: str, reason: str, remedy: str) -> None:
        self.relation = relation
        self.name = name
        super().__init__(f"{relation}: strategy {name!r} {reason}. {remedy}")


class NoScan(XdbrelError, LookupError):
    """A relation has no complete scan whose findings could be repaired.

    Attribute: ``relation`` (handle).
    """

    def __init__(self, relation: str, using: str) -> None:
        self.relation = relation
        super().__init__(
            f"{relation} has no complete scan in database {using!r}, so there are no findings "
            f'to repair. Run "manage.py xdbrel_scan {relation}" first.'
        )


class BeingScanned(XdbrelError, RuntimeError):
    """Another process scans the relation just now.

    Attributes: ``relation`` (handle), ``run`` (primary key), ``holder``, ``until``.
    """

    def __init__(self, relation: str, run: int, holder: str, until: datetime.datetime) -> None:
        self.relation = relation
        self.run = run
        self.holder = holder
        self.until = until
        super().__init__(
            f"{relation} is being scanned by {holder} (run {run}). Wait for it to end; if it "
            f"died, its lease can be taken over from {until:%Y-%m-%d %H:%M:%S} on."
        )


class ScanTakenOver(XdbrelError, RuntimeError):
    """The scan, or the range of it, that this process worked at is another's now.

    Its lease had expired, as when a process was stopped for minutes or the database that
    holds the lease did not answer. What was recorded before is kept, nothing is recorded
    twice. Attributes: ``relation`` (handle), ``run`` (primary key).
    """

    def __init__(self, relation: str, run: int) -> None:
        self.relation = relation
        self.run = run
        super().__init__(
            f"{relation}: run {run}, or the range of it that was scanned here, has been taken "
            f"over by another process, since its lease had expired. Nothing is lost; a longer "
            f'XDBREL["SCAN_LEASE_SECONDS"] avoids it.'
        )


class ScanIncomplete(XdbrelError, RuntimeError):
    """A scan has come to its end without some of its ranges, which failed too often.

    Attributes: ``relation`` (handle), ``run`` (primary key).
    """

    def __init__(self, relation: str, run: int, error: str) -> None:
        self.relation = relation
        self.run = run
        super().__init__(
            f"{relation}: run {run} is not complete. {error}. Remove the cause; the next scan "
            f"of the relation goes on with what is missing."
        )


class CannotSample(XdbrelError, ValueError):
    """Rows of the sources cannot be drawn at random in constant time.

    Attribute: ``relation`` (handle).
    """

    def __init__(self, relation: str, source: str, using: str) -> None:
        self.relation = relation
        super().__init__(
            f"{relation}: rows of {source} in database {using!r} cannot be drawn at random, "
            f"since its primary key is neither an integer nor a UUID. Scan it without --sample."
        )


class NotConfirmed(XdbrelError):
    """Findings have not been looked at a second time, and are not to be acted upon yet.

    Attributes: ``relation`` (handle), ``run`` (primary key).
    """

    def __init__(self, relation: str, run: int, reason: str) -> None:
        self.relation = relation
        self.run = run
        super().__init__(
            f"{relation}: the findings of run {run} have not been confirmed: {reason}. Try again "
            f"later; the policy 'report' and a dry run look at them already."
        )


class CannotRepair(XdbrelError, ValueError):
    """The policy is not possible for this relation; nothing was written.

    Attributes: ``relation`` (handle), ``policy``.
    """

    def __init__(self, relation: str, policy: str, reason: str, remedy: str) -> None:
        self.relation = relation
        self.policy = policy
        super().__init__(
            f"{relation}: policy {policy!r} is not possible, since {reason}; nothing was "
            f"written. {remedy}"
        )


class CannotQuarantine(XdbrelError):
    """Rows cannot be kept whole; their batch was not touched, those before it stay taken.

    Attributes: ``relation`` (handle), ``using`` (alias).
    """

    def __init__(self, relation: str, using: str, reason: str) -> None:
        self.relation = relation
        self.using = using
        super().__init__(
            f"{relation}: rows in database {using!r} cannot be quarantined, since {reason}; "
            f"nothing of their batch was written. Deal with those first, or use 'delete'."
        )


class TooManyOrphans(XdbrelError):
    """More of the table is orphaned than may be repaired without a second thought.

    Attributes: ``relation`` (handle), ``orphans``, ``rows`` (with a key, in the table).
    """

    def __init__(
        self, relation: str, policy: str, orphans: int, rows: int, share: float, target: str
    ) -> None:
        self.relation = relation
        self.orphans = orphans
        self.rows = rows
        super().__init__(
            f"{relation}: {orphans} of {rows} rows are orphans, more than the share of {share:g} "
            f'that XDBREL["MAX_ORPHAN_SHARE"] lets {policy!r} repair; nothing was written. '
            f"Look first whether {target} is empty, or its router wrong; --yes-really "
            f"(yes_really=True) repairs all the same."
        )


class RepairUnderWay(XdbrelError):
    """Somebody else repairs this relation. Attributes: ``relation``, ``holder``, ``repair``."""

    def __init__(self, relation: str, holder: str, repair: int) -> None:
        self.relation = relation
        self.holder = holder
        self.repair = repair
        super().__init__(
            f"{relation} is being repaired by {holder} (repair {repair}). Wait for its end; "
            f'where that process is gone, XDBREL["CLAIM_SECONDS"] later another may go on.'
        )


class BadMapping(XdbrelError, ValueError):
    """A mapping of old keys to new ones cannot be understood. Attribute: ``relation``."""

    def __init__(self, relation: str, reason: str) -> None:
        self.relation = relation
        super().__init__(
            f"{relation}: the mapping cannot be used, since {reason}. Give each old key once, "
            f"with its new key."
        )


def _unknown(kind: str, name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    return f"There is no {kind} {name!r}.{hint} Known are {', '.join(known)}."
