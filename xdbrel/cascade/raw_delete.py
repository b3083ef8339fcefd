"""``QuerySet._raw_delete`` on targets of crossing relations.

It deletes with one statement, past the ``Collector``: no hook of Django's lies on its way,
and projects use it to empty tables quickly. Inside one database the constraint would speak
up; across databases the sources would be left dangling without a word. So this module, and
no other, replaces the method: a model that no crossing relation points at is deleted from
as ever, and for any other the rows are read, their sources follow as after ``delete()``,
and just these rows are deleted.

Django calls the method itself for what its ``Collector`` may delete without looking, which
no target of a crossing relation is. xdbrel calls ``compat.raw_delete`` where it has planned
what follows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connections, models, transaction
from django.db.models import F
from django.db.models.deletion import RestrictedError

from xdbrel import compat, keys
from xdbrel.caching import uncached
from xdbrel.cascade import graph
from xdbrel.cascade.apply import as_autocommit, in_transaction
from xdbrel.cascade.collector import OwnCollector
from xdbrel.cascade.savepoint import savepoint
from xdbrel.fields.on_delete import CrossDBOnDelete


def install() -> None:
    """Let ``QuerySet._raw_delete`` be captured from now on."""
    models.QuerySet._raw_delete = _raw_delete  # type: ignore[method-assign,assignment]


def _raw_delete(self: models.QuerySet[Any], using: str) -> int:
    """Delete the queryset's rows without signals, and let sources in other databases follow.

    Returns the number of rows deleted here. Raises ``ProtectedError`` or
    ``RestrictedError`` where a source in another database refuses; then nothing is changed.
    """
    relations = followed(self.model)
    if not relations:
        return compat.raw_delete(self, using)
    connections[using].ensure_connection()
    with uncached(), _own_transaction(using):
        instances = list(_locked(self, relations, using))
        if not instances:
            return 0
        rows = Rows(using=using, origin=self)
        rows.add(instances)
        for relation in relations:
            sources = rows.related_objects(relation.model, [relation], instances)
            relation.remote_field.on_delete(rows, relation, sources, using)
        rows.refuse_restricted()
        # Where something follows, the plan has put what dispatches it in front.
        rows.delete()
    return rows.deleted


_raw_delete.alters_data = True  # type: ignore[attr-defined]


def followed(model: type[models.Model]) -> list[Any]:
    """Return the crossing relations whose sources follow the rows of ``model``'s own table."""
    return [
        field
        for field in graph.relations_to(model)
        if getattr(field, "crosses_databases", False)
        # The rows of a multi-table parent stay where they are.
        and graph.concrete(field.remote_field.model) is graph.concrete(model)
        and isinstance(field.remote_field.on_delete, CrossDBOnDelete)
    ]


class Rows(OwnCollector):
    """The rows of one table that go, and nothing that Django would collect with them."""

    deleted = 0

    def refuse_restricted(self) -> None:
        """Raise ``RestrictedError`` if sources restrict the rows, and do not go with them."""
        for model, objs in self.data.items():
            self.clear_restricted_objects_from_set(model, set(objs))
        for verdict in self.fast_deletes:
            self.clear_restricted_objects_from_queryset(verdict.model, verdict)
        left = {
            f"'{field.model.__name__}.{field.name}'": objs
            for by_field in self.restricted_objects.values()
            for field, objs in by_field.items()
            if objs
        }
        if left:
            (target,) = self.data
            raise RestrictedError(
                f"Cannot delete some instances of model {target.__name__!r} because they are "
                f"referenced through restricted foreign keys: {', '.join(left)}.",
                {obj for objs in left.values() for obj in objs},
            )

    def delete(self) -> tuple[int, dict[str, int]]:
        ((model, objs),) = self.data.items()
        table: Any = models.QuerySet(model, using=self.using)
        size = keys.chunk_size(self.using, model._meta.pk)
        for chunk in keys.chunks([obj.pk for obj in objs], size):
            doomed = table.filter(keys.KeyIn(F("pk"), chunk))
            self.deleted += compat.raw_delete(doomed, self.using)
        return self.deleted, {model._meta.label: self.deleted}


def _locked(queryset: Any, relations: list[Any], using: str) -> Any:
    """Return the rows that ``queryset`` would delete, which nobody else may change meanwhile.

    Whatever it is (sliced, ordered, of values): only its conditions count, as they do in
    Django's own statement.
    """
    chosen = queryset._chain()
    chosen.query.clear_limits()
    chosen.query.clear_ordering(force=True)
    chosen.query.select_for_update = False
    rows: Any = models.QuerySet(queryset.model, using=using)
    rows = rows.filter(pk__in=chosen.values("pk").using(using)).select_for_update()
    if any(graph.has_listeners(relation.model) for relation in relations):
        # A receiver may ask a source for its target, and that for anything.
        return rows
    return rows.only("pk", *{relation.target_field.attname for relation in relations})


@contextmanager
def _own_transaction(using: str) -> Iterator[None]:
    """Open a transaction: a savepoint inside somebody's, else one that is nobody else's.

    Reading, writing intents and deleting have to be one. To the table of moments that
    transaction is the autocommit that it stands for.
    """
    if in_transaction(using):
        with savepoint(using):
            yield
        return
    with as_autocommit(using), transaction.atomic(using=using):
        yield
