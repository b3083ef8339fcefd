"""``CrossDBModelAdmin``: change lists that never join across databases.

Owns what a change list fetches and how it sorts. The delete pages need nothing of the
kind: Django's collector finds there what would go in every database (``xdbrel.cascade``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest

from xdbrel import placement
from xdbrel.prefetch import prefetch_cross_db

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class CrossDBChangeList(ChangeList):
    """A change list that prefetches what Django's would join from another database.

    A foreign key in ``list_display`` makes Django's list call ``select_related()``. Here
    that is done for relations that stay in the database, and the others are prefetched,
    in one query for each database. So are crossing names in ``list_select_related``.
    """

    def apply_select_related(self, qs: models.QuerySet[Any]) -> models.QuerySet[Any]:
        wanted = dict.fromkeys(self._selected())
        remote = [path for path in wanted if crosses(qs.model, path)]
        local = [path for path in wanted if path not in remote]
        remote += [path for path in self._displayed_paths() if path not in remote]
        if local:
            qs = qs.select_related(*local)
        if remote:
            qs = prefetch_cross_db(qs, *remote)
        return qs

    def get_ordering_field(self, field_name: Any) -> Any:
        """Sort by the key of a crossing relation; by nothing that stands beyond it."""
        ordering = super().get_ordering_field(field_name)
        return local_ordering(self.model, ordering) if isinstance(ordering, str) else ordering

    def _selected(self) -> Iterable[str]:
        """Yield what Django's list would select: as declared, or by what it displays."""
        if isinstance(self.list_select_related, (list, tuple)):
            yield from self.list_select_related
            return
        for field in self.lookup_opts.concrete_fields:
            if not field.is_relation:
                continue
            shown = field.name in self.list_display
            if shown or (self.list_select_related is True and not field.null):
                yield field.name

    def _displayed_paths(self) -> Iterable[str]:
        """Yield the crossing relations behind columns like ``author__username``."""
        for name in self.list_display:
            if isinstance(name, str) and LOOKUP_SEP in name and crosses(self.model, name):
                yield relation_part(self.model, name)


class CrossDBModelAdmin(_ModelAdmin):
    """A ``ModelAdmin`` for models with relations to other databases.

    Its lists never join across databases; ``list_display``, ``list_select_related``,
    ``list_filter``, ``autocomplete_fields`` and ``raw_id_fields`` are declared as usual.
    It can stand before another base: ``class MyAdmin(CrossDBModelAdmin, UserAdmin)``.
    ``search_fields`` name columns of the model's own database.
    """

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        base = super().get_changelist(request, **kwargs)
        if issubclass(base, CrossDBChangeList):
            return base
        if base is ChangeList:
            return CrossDBChangeList
        return type(base.__name__, (CrossDBChangeList, base), {})

    def get_sortable_by(self, request: HttpRequest) -> Any:
        """Return the columns to sort by, without those that stand in another database."""
        return [
            name
            for name in super().get_sortable_by(request)
            if not isinstance(name, str) or local_ordering(self.model, name) is not None
        ]


def crosses(model: type[models.Model], path: str) -> bool:
    """Tell whether ``path``, followed from ``model``, leads to another database."""
    return any(
        not placement.same_home(placement.home(source), placement.home(target))
        for source, target, _ in _steps(model, path)
    )


def local_ordering(model: type[models.Model], ordering: str) -> str | None:
    """Return ``ordering`` in terms of columns that a query of ``model`` can sort by.

    ``author`` becomes ``author_id``, its key, which is here; ``author__username`` is
    ``None``; what leads to no other database stays as it is.
    """
    path = ordering.removeprefix("-")
    if not crosses(model, path):
        return ordering
    before, _, last = path.rpartition(LOOKUP_SEP)
    *_, (source, _target, name) = _steps(model, path)
    field = source._meta.get_field(name)
    if name != last or not isinstance(field, models.Field) or crosses(model, before):
        return None
    return ordering.removesuffix(last) + field.attname


def relation_part(model: type[models.Model], path: str) -> str:
    """Return the part of ``path`` that is relations: ``author`` of ``author__username``."""
    return LOOKUP_SEP.join(name for _, _, name in _steps(model, path))


def _steps(
    model: type[models.Model], path: str
) -> Iterable[tuple[type[models.Model], type[models.Model], str]]:
    for name in path.split(LOOKUP_SEP):
        try:
            target = model._meta.get_field(name).related_model
        except FieldDoesNotExist:
            return
        if not isinstance(target, type):
            return
        yield model, target, name
        model = target
