"""RESTRICT judged over several databases, by Django's own judgement.

At the end of its outermost ``collect()`` a ``Collector`` forgives a restricted object that
is to be deleted anyway: it looks among its instances and asks each queryset-like in
``fast_deletes``. One ``Verdict`` for each model answers there for what the collectors of
the other databases are to delete.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from xdbrel.caching import uncached


class Verdict:
    """A queryset-like in ``fast_deletes`` that knows what goes elsewhere, and deletes nothing."""

    def __init__(self, model: type[models.Model], collectors: dict[str, Any]) -> None:
        self.model = model
        self._collectors = collectors

    def filter(self, *, pk__in: list[Any]) -> set[Any]:
        """Return those of the objects that another database's collector is to delete."""
        wanted = set(pk__in)
        going: set[Any] = set()
        with uncached():
            for collector in self._collectors.values():
                going.update(obj for obj in collector.data.get(self.model, ()) if obj.pk in wanted)
                for queryset in collector.fast_deletes:
                    if queryset.model is self.model and not isinstance(queryset, Verdict):
                        going.update(queryset.filter(pk__in=pk__in))
        return going

    def _raw_delete(self, using: str) -> int:
        return 0
