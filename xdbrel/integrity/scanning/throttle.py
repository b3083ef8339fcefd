"""How much load a scan may put on the databases, and when it pauses by itself.

A scan rests after every step: to keep to a share of the time or to a number of keys in a
second, where it is told to; where a step takes much longer than those before, since the
databases are busy then; and while a replica lags behind.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from xdbrel.conf import settings
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.scanning import lag

logger = logging.getLogger(__name__)

#: A step that takes so many times what the steps before took says that databases are busy.
SLOW = 4.0
#: Steps below so many seconds are never slow.
NOTICEABLE = 0.25
#: The longest rest for a slow step.
LONGEST_REST = 10.0
#: How often the replicas' lag is asked for.
LAG_EVERY = 5.0
#: A rest is slept in slices, so that leases are renewed and a stop is seen.
SLICE = 1.0


def _sleep(seconds: float) -> None:
    time.sleep(seconds)


@dataclass
class Throttle:
    """The limits of one process's scan, and what it has measured so far.

    ``max_load`` is the share of the time, up to 1, that may be spent working;
    ``keys_per_second`` how many keys may be looked at, 0 for any number; ``max_lag`` the
    lag in seconds, of the ``replicas``, past which the scan waits.
    """

    max_load: float = 1.0
    keys_per_second: float = 0.0
    max_lag: float = 30.0
    replicas: Sequence[str] = ()
    _began: float = field(default_factory=time.monotonic)
    _usual: dict[bool, float] = field(default_factory=dict)
    _asked: float = float("-inf")

    @classmethod
    def from_settings(
        cls,
        source: End,
        target: End,
        *,
        max_load: float | None = None,
        keys_per_second: float | None = None,
    ) -> Throttle:
        """Return the throttle that the settings ask for; what is given goes first."""
        return cls(
            max_load=settings.SCAN_MAX_LOAD if max_load is None else max_load,
            keys_per_second=(
                settings.SCAN_KEYS_PER_SECOND if keys_per_second is None else keys_per_second
            ),
            max_lag=settings.SCAN_MAX_LAG_SECONDS,
            replicas=lag.replicas(source.using, target.using),
        )

    def readers(self) -> int:
        """Return how many connections may read at once: one where load is to be spared."""
        spared = self.max_load < 1 or self.keys_per_second
        return 1 if spared else settings.SCAN_READERS

    def rest(
        self,
        seen: int,
        *,
        found: bool = False,
        keep: Callable[[], None] = lambda: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> float:
        """Sleep for as long as the step that ends here asks for; return the seconds.

        ``seen`` is how many keys it looked at, ``found`` whether there were orphans to be
        counted and recorded: such a step is compared with others of its kind. ``keep`` is
        called meanwhile, and a ``stop`` ends the rest.
        """
        worked = time.monotonic() - self._began
        rested = 0.0
        for seconds in self._rests(worked, seen, found):
            left = seconds
            while left > 0 and not stop():
                part = min(left, SLICE)
                _sleep(part)
                keep()
                left -= part
                rested += part
        self._began = time.monotonic()
        return rested

    def _rests(self, worked: float, seen: int, found: bool) -> Iterator[float]:
        due = worked * (1 / self.max_load - 1) if self.max_load < 1 else 0.0
        if self.keys_per_second:
            due = max(due, seen / self.keys_per_second - worked)
        usual = self._usual.get(found)
        if usual is not None and worked > max(NOTICEABLE, SLOW * usual):
            due = max(due, min(worked, LONGEST_REST))
        if seen:
            # Follows what becomes usual, slowly, so that one slow step stands out.
            self._usual[found] = worked if usual is None else 0.9 * usual + 0.1 * worked
        if due > 0:
            yield due
        while self._lags():
            yield SLICE

    def _lags(self) -> bool:
        if not self.replicas or time.monotonic() - self._asked < LAG_EVERY:
            return False
        behind = {alias: lag.behind(alias) for alias in self.replicas}
        late = {alias: seconds for alias, seconds in behind.items() if seconds > self.max_lag}
        if not late:
            self._asked = time.monotonic()
            return False
        for alias, seconds in late.items():
            logger.info(
                "The scan waits: replica %s lags %s seconds behind",
                alias,
                round(seconds, 1),
                extra={"action": "scan_waits", "relation": None, "alias": alias},
            )
        return True
