"""Which kind of triggers a database has, and what all three kinds can do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from xdbrel.cascade.triggers.captures import Capture

#: Part of every digest: raise it where what stands must be replaced though its SQL is the same.
VERSION = "1"


@dataclass(frozen=True)
class Trigger:
    """One trigger that should stand: its table as the database names it, and how it is made."""

    table: str
    name: str
    relations: tuple[str, ...]
    digest: str
    create: tuple[str, ...] = field(repr=False)


@dataclass(frozen=True)
class Standing:
    """One trigger of xdbrel's that stands, and how it is removed."""

    table: str
    name: str
    digest: str
    enabled: bool
    drop: tuple[str, ...] = field(repr=False)


class Backend(Protocol):
    """What ``install`` and ``drift`` ask of a kind of database."""

    def triggers(self, connection: Any, capture: Capture) -> list[Trigger]:
        """Return what should stand for ``capture``; nothing where its table is not there."""

    def standing(self, connection: Any) -> list[Standing]:
        """Return what stands, whoever asked for it."""

    def prepare(self, connection: Any) -> list[str]:
        """Return statements that make the intents' table quick to write to."""

    def tidy(self, connection: Any) -> list[str]:
        """Return statements that remove what no trigger uses any more."""

    def broken(self, connection: Any) -> str:
        """Return why what stands may not write intents; "" where it may."""

    def is_denied(self, error: Exception) -> bool:
        """Tell whether ``error`` says that this user may not make or remove triggers."""

    def notes(self, connection: Any, captures: Sequence[Capture]) -> list[str]:
        """Return what no trigger of this database can see."""


def backend_of(using: str) -> Backend:
    """Return the module that speaks to the database ``using``.

    Raises ``NotImplementedError`` for a kind of database that has none.
    """
    from xdbrel.cascade.triggers import mysql, postgresql, sqlite

    known: dict[str, Any] = {"postgresql": postgresql, "mysql": mysql, "sqlite": sqlite}
    vendor = connections[using].vendor
    if vendor not in known:
        raise NotImplementedError(
            f"There are no triggers of xdbrel's for {vendor}, the database of {using!r}. Set "
            f'XDBREL["CAPTURE"] to "orm", or to relations whose targets live elsewhere.'
        )
    found: Backend = known[vendor]
    return found


def digest_of(*statements: str) -> str:
    """Return what tells an outdated trigger from one that is as it should be."""
    return hashlib.sha256("\0".join((VERSION, *statements)).encode()).hexdigest()[:16]


def marked(digest: str) -> str:
    """Return the comment that a body bears, where the database keeps none beside it."""
    return f"/* xdbrel {digest} */"


def digest_in(body: str) -> str:
    """Return the digest that a body bears; "" for none."""
    found = re.search(r"/\* xdbrel (\w+) \*/", body)
    return found[1] if found else ""


def literal(text: str) -> str:
    """Return ``text`` as an SQL string. Handles and names have nothing stranger than a quote."""
    return "'{}'".format(text.replace("\\", "").replace("'", "''"))


def quoted(connection: BaseDatabaseWrapper, name: str) -> str:
    """Return the name of a table or column as this database quotes it."""
    return connection.ops.quote_name(name)
