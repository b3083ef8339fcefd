"""Ready-made routers: one by home, one for a primary and its replicas.

``HomeRouter`` routes whole apps and single models by ``XDBREL["HOMES"]``;
``PrimaryReplicaRouter`` spreads the reads of a home over ``XDBREL["REPLICAS"]`` and lets
writers read their own writes. Together, in this order, with a project's own routers in
between::

    DATABASE_ROUTERS = [
        "xdbrel.routers.PrimaryReplicaRouter",
        "xdbrel.routers.HomeRouter",
    ]

Which alias a model lives at when no router speaks is for ``xdbrel.placement``.
"""

from __future__ import annotations

import functools
import inspect
import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from types import TracebackType
from typing import Any, TypeVar, cast

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, models

from xdbrel import placement, relations
from xdbrel.conf import settings
from xdbrel.exceptions import HomeError

F = TypeVar("F", bound=Callable[..., Any])

#: Of xdbrel's own models, those that stand in ``XDBREL["INTEGRITY_DATABASE"]``. An intent
#: stands with the targets that it speaks of, so nothing can be said of all intents.
_INTEGRITY_MODELS = frozenset({"xdbrel.scanrun", "xdbrel.orphan"})

#: What the table of a cache in a database calls itself towards routers. It is no model
#: otherwise, and its app is not installed.
CACHE_LABEL = "django_cache"


class HomeRouter:
    """Route whole apps and single models by ``XDBREL["HOMES"]``.

    The entry of a model (``"shop.Archive"``) comes before that of its app (``"shop"``). A
    proxy lives with the model whose rows it shows, an automatic many-to-many table with
    the model that declares it or where its field says (``through_home``); a multi-table
    child has its own app's entry. Models without any entry are left to the other routers,
    and to Django's stickiness.
    """

    def __init__(self) -> None:
        self._read: tuple[Mapping[str, str], dict[str, str]] = ({}, {})

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        home = self._home(model)
        instance = hints.get("instance")
        hinted: str | None = instance._state.db if instance is not None else None
        if home is not None and hinted and settings.REPLICAS.get(hinted) == home:
            # What belongs to an object is read where the object was: another replica, or
            # the primary, may be at another moment.
            return hinted
        return home

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        home = self._home(model)
        instance = hints.get("instance")
        if home is not None and isinstance(instance, model) and instance._state.db:
            # An object of another database, where a project's other routers let the model
            # live as well, is saved and deleted there. At home another may have its key.
            own: str = instance._state.db
            if not placement.same_home(own, home) and placement.may_live(model, own):
                return placement.primary(own)
        return home

    def db_for_home(self, model: type[models.Model], **hints: Any) -> str | None:
        """Answer as ``db_for_write()`` does, to one who asks for a model and not for an object."""
        return self._home(model)

    def allow_relation(self, obj1: models.Model, obj2: models.Model, **hints: Any) -> bool | None:
        """Allow what one database could hold, and what a cross-database relation declares."""
        # What a lazy object, as request.user, stands for.
        first, second = obj1.__class__, obj2.__class__
        if relations.between(first, second):
            return True
        homes = [self._home(first), self._home(second)]
        if homes == [None, None]:
            return None
        if obj1._state.db and obj1._state.db == obj2._state.db:
            return True
        try:
            return placement.same_home(
                homes[0] or placement.home(first, instance=obj1),
                homes[1] or placement.home(second, instance=obj2),
            )
        except HomeError:
            return None

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool:
        """Keep every model in its home, those without an entry in ``default``.

        xdbrel's own tables stand in every alias that is anyone's home. Django records a
        migration as applied where this method said no as well, so an alias that becomes
        the home of a target later on would never get the table that its intents need.
        """
        if placement.primary(db) != db:
            return False
        if app_label == "xdbrel":
            return self._is_a_home(db)
        model = hints.get("model")
        if model is None and model_name is not None:
            with suppress(LookupError):
                model = apps.get_model(app_label, model_name)
        if model is not None:
            homes = {self._home(model)}
        elif model_name is not None:
            homes = {self._entry(app_label, model_name)}
        else:
            homes = self._homes_of_app(app_label)
        if any(placement.same_home(db, home or DEFAULT_DB_ALIAS) for home in homes):
            return True
        return self._is_moving(db, app_label, model or model_name)

    def _is_moving(self, db: str, app_label: str, model: Any) -> bool:
        """Tell whether tables stand in ``db`` beside their home, by ``XDBREL["MOVING"]``."""
        moving = {name.lower(): alias for name, alias in settings.MOVING.items()}
        if not moving:
            return False
        if model is None:
            inside = f"{app_label}.".lower()
            named = {
                alias
                for name, alias in moving.items()
                if name == app_label.lower() or name.startswith(inside)
            }
        else:
            label = model if isinstance(model, str) else _placed(model).model_name
            entry = moving.get(f"{app_label}.{label}".lower()) or moving.get(app_label.lower())
            named = {entry} if entry else set()
        return any(placement.same_home(db, alias) for alias in named)

    def _home(self, model: type[models.Model]) -> str | None:
        named = placement.through_home(model)
        if named is not None:
            return named
        if model._meta.app_label == CACHE_LABEL:
            return self._entry(CACHE_LABEL, model._meta.model_name or "")
        meta = _placed(model)
        if meta.label_lower in _INTEGRITY_MODELS:
            return settings.INTEGRITY_DATABASE
        return self._entry(meta.app_label, meta.model_name or "")

    def _entry(self, app_label: str, model_name: str) -> str | None:
        entries = self._entries()
        return entries.get(f"{app_label}.{model_name}".lower()) or entries.get(app_label.lower())

    def _entries(self) -> dict[str, str]:
        homes = settings.HOMES
        read, entries = self._read
        # By identity: overriding the settings brings another mapping. The one that was read
        # is kept, so that no other can be at its address.
        if read is not homes:
            entries = {name.lower(): alias for name, alias in homes.items()}
            self._read = (homes, entries)
        return entries

    def _homes_of_app(self, app_label: str) -> set[str | None]:
        """Return where an operation on a whole app (``RunPython``, ``RunSQL``) has work to do.

        That is wherever one of its models lives; hints={"model_name": …} say it better.
        """
        try:
            installed = apps.get_app_config(app_label).get_models(include_auto_created=True)
        except LookupError:
            installed = iter(())
        return {self._home(model) for model in installed} or {self._entry(app_label, "")}

    def _is_a_home(self, db: str) -> bool:
        named = {DEFAULT_DB_ALIAS, settings.INTEGRITY_DATABASE, *self._entries().values()}
        named.update(settings.MOVING.values())
        if any(placement.same_home(db, alias) for alias in named):
            return True
        # A project's other routers may send models elsewhere.
        for model in apps.get_models(include_auto_created=True):
            if model._meta.app_label != "xdbrel":
                spoken = placement.spoken("db_for_home", model, skip=HomeRouter)
                if spoken is not None and placement.same_home(db, spoken):
                    return True
        return False


def _placed(model: type[models.Model]) -> Any:
    """Return the meta of the model that has a home for it.

    A proxy and an automatic table have no rows of their own to place.
    """
    meta = model._meta
    if meta.app_label == CACHE_LABEL:
        return meta
    if meta.proxy and meta.concrete_model is not None:
        meta = meta.concrete_model._meta
    # The table of a cache only looks like a model.
    declaring = getattr(meta, "auto_created", False)
    if declaring:
        meta = cast(type[models.Model], declaring)._meta
    return meta


class PrimaryReplicaRouter:
    """Write to a home's primary, read from one of its replicas at random.

    The home of a model is what the other routers name, or what ``xdbrel.placement`` finds
    where they are silent; the pools are ``XDBREL["REPLICAS"]`` (replica → primary). About a
    home without replicas this router says nothing. Reads go to the primary

    * inside an open transaction of the primary;
    * for ``XDBREL["READ_YOUR_WRITES_SECONDS"]`` after a write to it, within the same
      request, task or thread; the time counts from the end of a write's transaction;
    * inside ``primary_reads()``.

    What belongs to an object that was read from a replica is read from that replica.
    """

    #: Seconds on a clock that never goes back.
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def db_for_read(self, model: type[models.Model], **hints: Any) -> str | None:
        alias = self._alias("db_for_read", model, hints)
        if alias is None:
            return None
        primary = placement.primary(alias)
        replicas = _replicas(primary)
        if not replicas:
            return None
        if _forced.get() or self._must_see_writes(primary):
            return primary
        if alias != primary:
            return alias
        return random.choice(replicas)  # noqa: S311 (nothing secret in it)

    def db_for_write(self, model: type[models.Model], **hints: Any) -> str | None:
        primary = self._primary("db_for_write", model, hints)
        if primary is not None:
            note_write(primary, at=self.clock())
        return primary

    def db_for_home(self, model: type[models.Model], **hints: Any) -> str | None:
        """Answer as ``db_for_write()`` does, to one who asks without writing."""
        return self._primary("db_for_home", model, hints)

    def allow_relation(self, obj1: models.Model, obj2: models.Model, **hints: Any) -> bool | None:
        """Allow relations inside a pool: its aliases hold the same rows."""
        first, second = obj1._state.db, obj2._state.db
        if not first or not second or not _replicas(placement.primary(first)):
            return None
        return True if placement.primary(first) == placement.primary(second) else None

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        """Replicas receive their tables by replication, never by a migration."""
        return False if db in settings.REPLICAS else None

    def _primary(
        self, action: str, model: type[models.Model], hints: dict[str, Any]
    ) -> str | None:
        alias = self._alias(action, model, hints)
        primary = None if alias is None else placement.primary(alias)
        return primary if primary is not None and _replicas(primary) else None

    def _alias(self, action: str, model: type[models.Model], hints: dict[str, Any]) -> str | None:
        """Return what the other routers say, or the rule of ``placement`` where none speaks."""
        if not settings.REPLICAS:
            return None
        try:
            return placement.spoken(
                action, model, skip=PrimaryReplicaRouter, **hints
            ) or placement.unspoken(model, **hints)
        except HomeError:
            # Nobody knows; saying so is for those who need to know.
            return None

    def _must_see_writes(self, primary: str) -> bool:
        connection = connections[primary]
        if connection.in_atomic_block or (
            connection.connection is not None and not connection.autocommit
        ):
            return True
        writes = _writes.get()
        written = None if writes is None else writes.get(primary)
        if written is None:
            return False
        now = self.clock()
        if written == _IN_TRANSACTION:
            # The first read after the transaction: others could not see its rows before.
            _note(primary, now)
            return True
        return now - written < settings.READ_YOUR_WRITES_SECONDS


#: Stands for the time of a write whose transaction was open.
_IN_TRANSACTION = float("-inf")


class _OfRequest(dict[str, float]):
    """The writes of one request or task, shared by every context that is copied from its own.

    What ``asyncio.gather()`` runs for a request writes on the request's behalf. Where no
    beginning was announced, contexts share nothing: what a server wrote while it started
    would else be the writes of all its requests.
    """


#: When this request, task or thread last wrote, by primary.
_writes: ContextVar[dict[str, float] | None] = ContextVar("xdbrel_writes", default=None)

_forced: ContextVar[bool] = ContextVar("xdbrel_primary_reads", default=False)


def note_write(using: str, *, at: float | None = None) -> None:
    """Take note that this request or task writes to the primary ``using``.

    The router does so whenever Django asks it where to write. It is for writes that no
    router hears of: raw SQL, ``using()``. ``at`` is a time of ``PrimaryReplicaRouter.clock``,
    by default now.
    """
    using = placement.primary(using)
    if connections[using].in_atomic_block:
        at = _IN_TRANSACTION
    _note(using, PrimaryReplicaRouter.clock() if at is None else at)


def reset_writes(**kwargs: Any) -> None:
    """Forget the writes so far: another request or task begins.

    Receiver of Django's ``request_started`` and of Celery's ``task_prerun``. A task that
    runs eagerly, inside the request that sends it, changes nothing.
    """
    request = getattr(kwargs.get("task"), "request", None)
    if not getattr(request, "is_eager", False):
        _writes.set(_OfRequest())


class primary_reads:
    """Send every read of a block, or of a decorated function, to the primary.

    ::

        with primary_reads():
            balance = Account.objects.get(pk=pk).balance

        @primary_reads()
        async def transfer(...): ...
    """

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(_forced.get())
        _forced.set(True)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _forced.set(self._before.pop())

    def __call__(self, function: F) -> F:
        # Each call has a block of its own: calls may overlap.
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with primary_reads():
                    return await function(*args, **kwargs)

            return cast(F, awaited)

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            with primary_reads():
                return function(*args, **kwargs)

        return cast(F, called)


def _note(primary: str, at: float) -> None:
    writes = _writes.get()
    if not isinstance(writes, _OfRequest):
        writes = dict(writes or {})
        _writes.set(writes)
    writes[primary] = at


def _replicas(primary: str) -> list[str]:
    return [
        replica
        for replica in settings.REPLICAS
        if replica != primary and placement.primary(replica) == primary
    ]
