"""More aliases than the settings have, for the length of one test."""

from collections.abc import Iterator

import pytest
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper


class Aliases:
    """Adds aliases to DATABASES: ``aliases.define("replica", NAME="…")``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.defined: list[str] = []

    def define(self, alias: str, **configured: object) -> str:
        """Define ``alias``, an SQLite file of its own unless ``configured`` says otherwise."""
        given = {"ENGINE": "django.db.backends.sqlite3", "NAME": f"{alias}.sqlite3", **configured}
        complete = connections.configure_settings({"default": {}, alias: given})[alias]
        self.monkeypatch.setitem(connections.settings, alias, complete)
        self.defined.append(alias)
        return alias

    def define_like(self, alias: str, other: str) -> str:
        """Define ``alias`` as another name of the database of ``other``."""
        same = {**connections.settings[other], "TEST": {}}
        return self.define(alias, **same)

    def empty(self, alias: str) -> None:
        """Let ``alias`` name no database, as ``DATABASES = {"default": {}}`` does."""
        complete = connections.configure_settings({"default": {}})["default"]
        self.monkeypatch.setitem(connections.settings, alias, complete)

    def connect(self, alias: str) -> None:
        """Connect to ``alias``; Django's test cases let nobody do so on demand."""
        connections[alias].connect()

    def forget(self) -> None:
        """Close what was opened."""
        for alias in self.defined:
            if hasattr(connections._connections, alias):
                # SQLite's own close() spares databases in memory; others hold this one.
                BaseDatabaseWrapper.close(connections[alias])
                del connections[alias]


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aliases]:
    found = Aliases(monkeypatch)
    yield found
    found.forget()
