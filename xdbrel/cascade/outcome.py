"""What ``delete()`` returns where other databases are concerned, and waiting for its end.

It is what Django returns, and knows besides which intents it wrote: those that could not
be applied at once are finished by a relay, and ``wait()`` returns when they are.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from django.db import connections
from django.db.models import Q

from xdbrel.caching import uncached
from xdbrel.cascade import intents
from xdbrel.exceptions import CascadeSetAside, StillInTransaction
from xdbrel.models import CascadeIntent

Status = CascadeIntent.Status

#: How long the first pause between two looks is, and the longest, in seconds.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.01, 0.5


class DeletionCounts(dict[str, int]):
    """Rows by model label, as Django gives them, of a deletion that can be waited for."""

    def __init__(self, counts: Iterable[tuple[str, int]], using: str, deletion: str) -> None:
        super().__init__(counts)
        self.using = using
        self.deletion = deletion

    def wait(self, timeout: float | None = None) -> bool:
        """Return True when every cascade that this deletion began has been applied.

        In every database, to the end. False if ``timeout`` (seconds) passes first. It is the
        relay, or another process, that applies what is left: without one nothing comes of
        waiting. Raises ``StillInTransaction`` where the delete has not been committed, and
        ``CascadeSetAside`` where a cascade has failed too often to be tried again.
        """
        if connections[self.using].in_atomic_block:
            raise StillInTransaction(self.using)
        until = float("inf") if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        # Those handed on to the next database by a relay that did several at once belong
        # to all of them: each level's are waited for, whosever they are.
        seen: dict[str, set[Any]] = {}
        for _ in range(len(connections.settings)):
            while self._unfinished(seen):
                if time.monotonic() + pause > until:
                    return False
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            seen = self._of_several()
            if not seen:
                break
        return True

    def _unfinished(self, seen: dict[str, set[Any]]) -> bool:
        for alias in intents.aliases():
            rows = CascadeIntent.objects.using(alias)
            # By status first: finished intents are many and the index leaves them out.
            aside = rows.filter(status=Status.SET_ASIDE, deletion=self.deletion)
            pending = rows.filter(status=Status.PENDING)
            with uncached():
                for intent in aside.order_by("pk")[:1]:
                    raise CascadeSetAside(intent.relation, alias, intent.last_error)
                if pending.filter(
                    Q(deletion=self.deletion) | Q(pk__in=seen.get(alias, ()))
                ).exists():
                    return True
        return False

    def _of_several(self) -> dict[str, set[Any]]:
        found = {}
        for alias in intents.aliases():
            with uncached():
                pks = set(
                    CascadeIntent.objects.using(alias)
                    .filter(deletion=intents.SEVERAL, status=Status.PENDING)
                    .values_list("pk", flat=True)
                )
            if pks:
                found[alias] = pks
        return found


class Deletion(tuple[int, dict[str, int]]):
    """``(rows, rows by model label)``, which can be waited for: see ``DeletionCounts``."""

    __slots__ = ()

    def wait(self, timeout: float | None = None) -> bool:
        """Return True when every cascade of this deletion has been applied, False in time out."""
        counts = self[1]
        return counts.wait(timeout) if isinstance(counts, DeletionCounts) else True
