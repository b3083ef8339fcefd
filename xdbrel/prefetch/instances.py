"""Rows to instances, cheaper where a model does nothing of its own while it is built.

``Model.__init__`` sends two signals, sorts out positional and keyword arguments and
sets every attribute through its descriptor, for each row. Where nobody could tell the
difference, the instance is made with the same contents without it; everywhere else
``PlainIterable`` is Django's ``ModelIterable``. ``is_plain()`` lists what could tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from weakref import ref

from django.db import models
from django.db.models.base import ModelState
from django.db.models.fields.related_descriptors import ForeignKeyDeferredAttribute
from django.db.models.query import ModelIterable
from django.db.models.query_utils import DeferredAttribute
from django.db.models.signals import post_init, pre_init

#: Descriptors whose ``__set__``, if any, comes to an entry in a new instance's ``__dict__``.
_TRANSPARENT = (DeferredAttribute, ForeignKeyDeferredAttribute)


class PlainIterable(ModelIterable):  # type: ignore[type-arg]
    """``ModelIterable`` that builds instances of plain models directly."""

    queryset: Any
    chunked_fetch: bool
    chunk_size: int

    def __iter__(self) -> Iterator[Any]:
        queryset = self.queryset
        compiler = queryset.query.get_compiler(using=queryset.db)
        compiler.setup_query()
        klass_info = compiler.klass_info
        if (
            not klass_info
            or klass_info.get("related_klass_infos")
            or compiler.annotation_col_map
            or queryset._known_related_objects
            or not is_plain(klass_info["model"])
        ):
            return super().__iter__()
        attnames = [column[0].target.attname for column in compiler.select]
        model = klass_info["model"]
        # Deferred fields change nothing else, but from_db() has a say in them.
        if attnames != [field.attname for field in model._meta.concrete_fields]:
            return super().__iter__()
        return self._build(compiler, model, attnames)

    def _build(
        self, compiler: Any, model: type[models.Model], attnames: list[str]
    ) -> Iterator[Any]:
        results = compiler.execute_sql(
            chunked_fetch=self.chunked_fetch, chunk_size=self.chunk_size
        )
        # With a single database, the compiler is Django's own.
        alias = getattr(compiler, "rows_from", None) or self.queryset.db
        mode = getattr(self.queryset, "_fetch_mode", None)
        peers: list[Any] | None = [] if mode is not None and mode.track_peers else None
        new = model.__new__
        for row in compiler.results_iter(results):
            instance = new(model)
            state: Any = ModelState()
            state.adding = False
            state.db = alias
            if mode is not None:
                state.fetch_mode = mode
                if peers is not None:
                    peers.append(ref(instance))
                    state.peers = peers
            contents = instance.__dict__
            contents["_state"] = state
            contents.update(zip(attnames, row, strict=True))
            yield instance


def cheapest(iterable_class: type[Any]) -> type[Any]:
    """Return ``PlainIterable`` for Django's ``ModelIterable``, anything else as it is."""
    return PlainIterable if iterable_class is ModelIterable else iterable_class


def is_plain(model: type[models.Model]) -> bool:
    """Tell whether building an instance of ``model`` does what ``Model`` does and no more.

    That is: no construction of its own in the model, in a class before or behind
    ``Model``, or in a field's descriptor, and no receiver of its signals.
    """
    return (
        model.__init__ is models.Model.__init__
        and model.__new__ is object.__new__
        and model.__setattr__ is object.__setattr__
        and getattr(model.from_db, "__func__", None) is models.Model.from_db.__func__  # type: ignore[attr-defined]
        and super(models.Model, model).__init__ is object.__init__
        and all(
            type(getattr(model, field.attname, None)) in _TRANSPARENT
            for field in model._meta.concrete_fields
        )
        and not pre_init.has_listeners(model)
        and not post_init.has_listeners(model)
    )
