"""One lazy, typed settings object over ``settings.XDBREL``.

Every value is read when it is used, so ``override_settings(XDBREL=…)`` just works. A value
of a wrong type is refused when it is read, rather than taken for the default. What else may
be wrong in the dictionary, unknown keys before all, is said by ``xdbrel.checks``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar, overload

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured

T = TypeVar("T")


class Setting(Generic[T]):
    """One key of ``settings.XDBREL``: its name, default and one line of meaning.

    The type follows from the default: a mapping of strings to strings, a string, or a
    number, of which ``least`` is the smallest that makes sense.
    """

    def __init__(self, default: T, meaning: str, *, least: float = 0) -> None:
        self.default = default
        self.meaning = meaning
        self.least = least
        self.kinds: tuple[type[Any], ...]
        if isinstance(default, Mapping):
            self.kinds, self.expected = (Mapping,), "a dictionary of strings"
        elif isinstance(default, str):
            self.kinds, self.expected = (str,), "a string"
        elif isinstance(default, float):
            self.kinds, self.expected = (int, float), f"a number, {least:g} or more"
        else:
            self.kinds, self.expected = (int,), f"a whole number, {least:g} or more"

    def __set_name__(self, owner: type[Settings], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type[Settings]) -> Setting[T]: ...
    @overload
    def __get__(self, instance: Settings, owner: type[Settings]) -> T: ...
    def __get__(self, instance: Settings | None, owner: type[Settings]) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = given().get(self.name, self.default)
        if value is not self.default and not self._is_of_its_type(value):
            raise ImproperlyConfigured(
                f'XDBREL["{self.name}"] must be {self.expected}, not {value!r}. '
                f"Correct it in the settings."
            )
        return value

    def accepts(self, value: object) -> bool:
        """Tell whether ``value`` makes sense here, down to the items of a dictionary."""
        if not self._is_of_its_type(value):
            return False
        if isinstance(value, Mapping):
            return all(isinstance(part, str) for item in value.items() for part in item)
        return True

    def _is_of_its_type(self, value: Any) -> bool:
        if type(value) is dict:  # What routers ask for on every query; an ABC asks longer.
            return Mapping in self.kinds
        if not isinstance(value, self.kinds) or isinstance(value, bool):
            return False
        return not isinstance(value, (int, float)) or bool(value >= self.least)


class Switch(Setting[bool]):
    """A setting that is ``True`` or ``False``."""

    def __init__(self, default: bool, meaning: str) -> None:
        super().__init__(default, meaning)
        self.expected = "True or False"

    def _is_of_its_type(self, value: Any) -> bool:
        return isinstance(value, bool)


class Choice(Setting[str | Sequence[str]]):
    """A setting that is one of a few words, or a list of strings."""

    def __init__(self, default: str, meaning: str, *, words: Sequence[str], listed: str) -> None:
        super().__init__(default, meaning)
        self.words = words
        self.expected = f"{', '.join(map(repr, words))} or a list of {listed}"

    def _is_of_its_type(self, value: Any) -> bool:
        if isinstance(value, str):
            return value in self.words
        return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


class Listing(Setting[Sequence[str]]):
    """A setting that is a list of strings."""

    def __init__(self, meaning: str) -> None:
        super().__init__((), meaning)
        self.expected = "a list of strings"

    def _is_of_its_type(self, value: Any) -> bool:
        return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def given() -> Mapping[str, Any]:
    """Return ``settings.XDBREL`` as the project wrote it, or an empty mapping.

    Raises ``ImproperlyConfigured`` where it is no mapping.
    """
    value: Any = getattr(django_settings, "XDBREL", {})
    if type(value) is not dict and not isinstance(value, Mapping):
        raise ImproperlyConfigured(
            f"XDBREL must be a dictionary, not {value!r}. Correct it in the settings."
        )
    return value


def kept() -> Any:
    """Return the ``settings.XDBREL`` that Django keeps since it was last read, if it was.

    It is another object after each change. Where the project has none it costs nothing, while
    ``given()`` has Django look for it, and fail, each time.
    """
    return vars(django_settings).get("XDBREL")


class Settings:
    """The settings that a project may give in ``XDBREL``."""

    HOMES = Setting[Mapping[str, str]](
        {}, "app label or app_label.Model → the alias where its rows live (HomeRouter)"
    )
    MOVING = Setting[Mapping[str, str]](
        {}, "app label or app_label.Model → another alias where its tables stand meanwhile"
    )
    REPLICAS = Setting[Mapping[str, str]](
        {}, "alias of a replica → alias of its primary; both count as one home"
    )
    ADOPT = Listing("handles of other apps' plain relations that are to cross, read at start")
    READ_YOUR_WRITES_SECONDS = Setting[float](
        5.0, "how long a writer reads from the primary (PrimaryReplicaRouter)"
    )
    INTEGRITY_DATABASE = Setting[str](
        "default", "alias where scan runs and their findings are kept"
    )
    CHUNK_SIZE = Setting[int](
        10_000, "most keys in one statement, where the database sets no lower limit", least=1
    )
    CAPTURE = Choice(
        "orm",
        "whose deletes triggers capture beside the ORM's: none's, every relation's, these ones'",
        words=("orm", "triggers"),
        listed="relations' handles",
    )
    INTENT_KEYS = Setting[int](1_000, "most keys of deleted targets in one intent", least=1)
    CLAIM_SECONDS = Setting[float](
        60.0, "how long an intent belongs to the process that claimed it"
    )
    RELAY_BATCH_SECONDS = Setting[float](
        5.0, "how long a relay works at what it claimed before others have their turn", least=0.01
    )
    RELAY_BATCH_ROWS = Setting[int](50_000, "most sources that follow in one transaction", least=1)
    RELAY_BATCH_SIZE = Setting[int](4_000, "most intents that a relay claims at once", least=1)
    SPANNING_QUERIES = Switch(True, "whether queries may span databases")
    MAX_SHIPPED_ROWS = Setting[int](
        1_000_000, "most rows that a query may bring out of other databases", least=1
    )
    MAX_ATTEMPTS = Setting[int](10, "attempts after which an intent is set aside", least=1)
    RETRY_SECONDS = Setting[float](
        2.0, "first delay before a failed intent is tried again; it doubles each time"
    )
    SECOND_LOOK_SECONDS = Setting[float](
        60.0, "how long after a cascade its sources are looked for once more"
    )
    MAX_BACKLOG_AGE = Setting[float](
        300.0, "age in seconds of the oldest waiting intent past which the backlog is reported"
    )
    KEEP_APPLIED_DAYS = Setting[float](7.0, "how long applied intents are kept")
    MAX_ORPHAN_SHARE = Setting[float](
        0.5, "share of the sources that may be orphans for a repair to begin; 1 is no limit"
    )
    KEEP_HISTORY_DAYS = Setting[float](
        90.0, "how long runs, their findings and repairs are kept; what repairs go by stays"
    )
    RELAY_INTERVAL_SECONDS = Setting[float](
        5.0, "how often the beat schedule runs the relay", least=0.1
    )
    PRUNE_INTERVAL_SECONDS = Setting[float](
        3_600.0, "how often the beat schedule prunes finished intents", least=0.1
    )
    SCAN_INTERVAL_SECONDS = Setting[float](
        3_600.0, "how often the beat schedule scans: for what has changed, or in full", least=0.1
    )
    FULL_SCAN_INTERVAL_SECONDS = Setting[float](
        86_400.0, "age of a relation's last full scan past which a scheduled one is full"
    )
    CONFIRM_AFTER = Setting[float](
        60.0, "how many seconds after a scan its findings are looked at a second time; 1 or more"
    )
    CONFIRM_INTERVAL_SECONDS = Setting[float](
        30.0, "how often the beat schedule confirms findings that are due", least=0.1
    )
    RESUME_INTERVAL_SECONDS = Setting[float](
        60.0, "how often the beat schedule looks for scans that nobody goes on with", least=0.1
    )
    RESUME_SECONDS = Setting[float](
        86_400.0, "age of a scan that was cut short past which a new one begins anew"
    )
    SCAN_LEASE_SECONDS = Setting[float](
        360.0, "how long a scan belongs to a process that does not renew it", least=0.1
    )
    SCAN_STATEMENT_SECONDS = Setting[float](
        300.0, "longest time of one statement of a scan; 0 for any"
    )
    SCAN_RANGE_ROWS = Setting[int](
        2_000_000, "about how many rows make a range that workers share scans by", least=1
    )
    SCAN_READERS = Setting[int](
        4,
        "by how many connections one process's scan reads at once: one to the targets' server "
        "ahead, up to so many to sources in MariaDB and MySQL; 1 for the scan's own alone",
        least=1,
    )
    SCAN_MAX_LOAD = Setting[float](
        1.0, "share of the time, up to 1, in which a scan may put load on databases", least=0.001
    )
    SCAN_KEYS_PER_SECOND = Setting[float](
        0.0, "most keys that one process's scan looks at in a second; 0 for any number"
    )
    SCAN_MAX_LAG_SECONDS = Setting[float](
        30.0, "lag of a replica in REPLICAS past which scans of its primary wait"
    )
    HEARTBEAT_SECONDS = Setting[float](10.0, "how often, at most, a worker notes that it works")

    @classmethod
    def names(cls) -> list[str]:
        """Return the known keys, sorted."""
        return sorted(name for name, value in vars(cls).items() if isinstance(value, Setting))


settings = Settings()
