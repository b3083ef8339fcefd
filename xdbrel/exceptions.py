"""The errors that xdbrel raises, each a child of ``XdbrelError``.

Every message names the relation (``app_label.Model.field``), the database alias,
the keys where there are any, the reason and the remedy. What a machine needs is
an attribute as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import IntegrityError, NotSupportedError
from django.db.transaction import TransactionManagementError

#: How many keys a message spells out; the attribute always has all of them.
SHOWN_KEYS = 10


class XdbrelError(Exception):
    """Base class of every error that xdbrel raises."""


class HomeError(XdbrelError, ImproperlyConfigured):
    """No single database alias can be named as the home of a model.

    Attributes: ``model`` (its label) and ``candidates`` (aliases that may hold it).
    """

    def __init__(self, model: str, candidates: Sequence[str]) -> None:
        self.model = model
        self.candidates = tuple(candidates)
        if candidates:
            reason = "no router names its database and {} may hold it".format(
                ", ".join(repr(alias) for alias in candidates)
            )
        else:
            reason = "no router names its database and none may hold it (allow_migrate)"
        super().__init__(
            f"The home of {model} is not known: {reason}. Name it in "
            f'XDBREL["HOMES"] and use xdbrel.routers.HomeRouter, or answer in a '
            f"router's db_for_write()."
        )


class UnknownRelation(XdbrelError, LookupError):
    """There is no relation of that handle. Attributes: ``handle``, ``close``."""

    def __init__(self, handle: str, close: Sequence[str] = ()) -> None:
        self.handle = handle
        self.close = tuple(close)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        super().__init__(
            f"There is no cross-database relation {handle!r}.{hint} "
            f'"manage.py xdbrel_relations" lists them.'
        )


class MissingTarget(XdbrelError, IntegrityError):
    """A verified relation was given keys that no target row has.

    An ``IntegrityError``, since that is what a constraint would raise.
    Attributes: ``relation`` (handle), ``using`` (the target's alias), ``keys``.
    """

    def __init__(self, relation: str, using: str, target: str, keys: Iterable[Any]) -> None:
        self.relation = relation
        self.using = using
        self.keys = list(keys)
        super().__init__(
            f"{relation}: {describe_keys(self.keys)} not found among {target} in "
            f"database {using!r}; nothing was written. Create the missing rows first, "
            f"or declare the field with verify=False to check later by scanning."
        )


class KeyInUse(XdbrelError, IntegrityError):
    """The key of a target was to change while sources in another database hold it.

    An ``IntegrityError``, since that is what a constraint would raise; ``ProtectedError`` is
    one too, and whoever catches that speaks of a deletion.
    Attributes: ``relation`` (handle), ``using`` (the target's alias), ``source_alias``,
    ``old`` and ``new`` (keys), ``sources`` (how many hold the old key), ``first`` (the
    primary key of one).
    """

    def __init__(
        self,
        relation: str,
        *,
        using: str,
        target: str,
        old: Any,
        new: Any,
        source: str,
        source_alias: str,
        sources: int,
        first: Any,
    ) -> None:
        self.relation = relation
        self.using = using
        self.source_alias = source_alias
        self.old = old
        self.new = new
        self.sources = sources
        self.first = first
        super().__init__(
            f"{relation}: the key {old!r} of {target} in database {using!r} cannot become "
            f"{new!r} while {sources} {source} in database {source_alias!r} hold it, {first!r} "
            f"the first; nothing was written. Give these another key first, or declare the "
            + (
                "field with on_update=models.DO_NOTHING to leave them behind."
                # Of several columns: none is the relation's alone, to let it follow.
                if isinstance(old, tuple)
                else "field with on_update=models.CASCADE to let them follow."
            )
        )


class DeleteRolledBack(XdbrelError, TransactionManagementError):
    """Sources were deleted in a transaction, and the delete of their targets was rolled back.

    Raised instead of committing, so that the sources are kept: the transaction is rolled
    back. Attributes: ``relations`` (handles), ``targets_alias``, ``sources_alias``.
    """

    def __init__(self, relations: Sequence[str], targets_alias: str, sources_alias: str) -> None:
        self.relations = tuple(relations)
        self.targets_alias = targets_alias
        self.sources_alias = sources_alias
        super().__init__(
            f"{', '.join(relations)}: the transaction on {sources_alias!r} holds the cascade of "
            f"a delete that was rolled back in {targets_alias!r}, and is rolled back as well so "
            f"that no source of a living target is lost. Let both be one block: "
            f"xdbrel.atomic({targets_alias!r}, {sources_alias!r})."
        )


class StillInTransaction(XdbrelError, TransactionManagementError):
    """A deletion was waited for inside the transaction that it is to be committed with."""

    def __init__(self, using: str) -> None:
        self.using = using
        super().__init__(
            f"The delete has not been committed in {using!r} yet, and nothing follows before it "
            f"is. Call wait() after the block."
        )


class CascadeSetAside(XdbrelError):
    """A cascade that was waited for has failed too often to be tried again by itself.

    Attributes: ``relation`` (handle), ``using`` (the alias of its intent), ``error``.
    """

    def __init__(self, relation: str, using: str, error: str) -> None:
        self.relation = relation
        self.using = using
        self.error = error
        super().__init__(
            f"{relation}: the cascade was set aside in {using!r} after its last attempt failed: "
            f'{error}. Remove the cause, then run "manage.py xdbrel_relay --retry {relation}".'
        )


class NotInstalled(XdbrelError, ImproperlyConfigured):
    """A relation needs the part of xdbrel that is an installed app."""

    def __init__(self, relation: str) -> None:
        self.relation = relation
        super().__init__(
            f"{relation} crosses databases, and deleting its targets needs xdbrel's own "
            f'tables. Add "xdbrel" to INSTALLED_APPS and run "manage.py xdbrel_migrate".'
        )


class PauseFailed(XdbrelError):
    """A relation could not be paused or resumed: the home of its targets did not answer.

    Attributes: ``relation`` (handle), ``using`` (that home), ``wanted`` ("paused" or
    "resumed").
    """

    def __init__(self, relation: str, using: str, wanted: str, error: BaseException) -> None:
        self.relation = relation
        self.using = using
        self.wanted = wanted
        super().__init__(
            f"{relation} could not be {wanted}: database {using!r}, where its intents stand, "
            f"failed ({type(error).__name__}: {error}). Nothing was changed; try again when it "
            f"answers."
        )


def describe_keys(keys: Sequence[Any]) -> str:
    """Return ``key 7`` or ``keys 1, 2, 3 … (40 in all)`` for a message."""
    shown = ", ".join(repr(key) for key in keys[:SHOWN_KEYS])
    if len(keys) == 1:
        return f"key {shown}"
    if len(keys) > SHOWN_KEYS:
        return f"keys {shown} … ({len(keys)} in all)"
    return f"keys {shown}"


class QueryTooLarge(XdbrelError, NotSupportedError):
    """A query that spans databases would bring more rows than it may.

    Attributes: ``label`` (the model, or what else is brought), ``home``, ``budget``,
    ``estimate`` (about how many rows there are; ``None`` where the server does not say more
    than that it is over the budget).
    """

    def __init__(self, label: str, home: str, budget: int, estimate: int | None = None) -> None:
        self.label = label
        self.home = home
        self.budget = budget
        self.estimate = estimate if estimate and estimate > budget else None
        about = f"about {self.estimate}, " if self.estimate else ""
        super().__init__(
            f"This query would bring {about}more than {budget} rows of {label} out of database "
            f'{home!r} (XDBREL["MAX_SHIPPED_ROWS"]). Filter by a field of {label} that fewer '
            f"rows have, filter the other side first, or raise the limit."
        )
