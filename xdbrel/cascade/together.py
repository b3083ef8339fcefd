"""One order over several databases, where somebody would notice another.

A single ``Collector`` sends all its ``pre_delete`` first, and deletes model after model so
that no row goes before what hangs on it. Where all the databases concerned are in open
transactions, so that everything is applied at once (see ``dispatch``), and somebody listens,
the same is done here: everything is collected first, then Django's own ``delete()`` takes it
in its one order, each row in its own database. The intents are written as ever; what they
would apply has gone already.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any

from django.db import models, transaction
from django.db.models.deletion import Collector

from xdbrel.cascade import dispatch, graph, guard, intents
from xdbrel.cascade.apply import in_transaction, tallying
from xdbrel.cascade.capture import Planned, capturing
from xdbrel.cascade.outcome import Deletion, DeletionCounts
from xdbrel.cascade.savepoint import savepoint
from xdbrel.cascade.verdict import Verdict


class Order:
    """What one delete means for several collectors, in the order in which it was met.

    ``planned`` has the keys of targets by the alias of the targets. ``possible`` turns
    False for good when a database is met that is in no open transaction.
    """

    def __init__(self, root: Collector) -> None:
        self.planned: dict[str, Planned] = {}
        self.models: dict[type[models.Model], str] = {}
        self.possible = (
            type(root) is Collector
            and in_transaction(root.using)
            # Inside another delete, that one's order is what counts.
            and not intents.deletion_in_progress()
            and _is_heard(root.data)
        )

    def note(self, field: Any, alias: str, source_alias: str, target_keys: list[Any]) -> None:
        """Remember that sources of targets on ``alias`` must follow."""
        # Not asked without need: it may be the first that is asked of that database.
        if self.possible and not in_transaction(source_alias):
            self.possible = False
        planned = self.planned.setdefault(alias, {})
        planned.setdefault((field, source_alias), []).extend(target_keys)

    def see(self, collectors: Iterable[Collector]) -> None:
        """Take note of the models that have been met since."""
        for collector in collectors:
            for model in collector.data:
                if self.models.setdefault(model, collector.using) != collector.using:
                    # One name for two tables: each database for itself then.
                    self.possible = self.possible and not collector.data[model]


def delete(
    root: Collector,
    keys: Planned,
    order: Order,
    collectors: dict[str, Collector],
) -> tuple[int, dict[str, int]]:
    """Delete what was collected in one order, or leave it to ``dispatch`` where that is not so."""
    order.see(collectors.values())
    if not (order.possible and keys and all(map(in_transaction, collectors))):
        return dispatch.delete(root, keys)
    deletion = uuid.uuid4().hex
    with tallying() as tally, intents.belonging_to(deletion), ExitStack() as blocks:
        # If anything fails in the end, all of it goes back.
        for alias in collectors:
            if alias == root.using:
                blocks.enter_context(transaction.atomic(using=alias, savepoint=False))
            else:
                blocks.enter_context(savepoint(alias))
        blocks.enter_context(guard.beginning(root.using))
        captures = [blocks.enter_context(capturing(alias)) for alias in collectors]
        deleted, counts = _Together(root, order, collectors).delete()
        for capture in captures:
            dispatch.hand_on(order.planned.get(capture.using, {}), capture, root.origin)
    result = DeletionCounts(counts.items(), root.using, deletion)
    for label, number in (tally or {}).items():
        if number:
            result[label] = result.get(label, 0) + number
            deleted += number
    return Deletion((deleted, result))


class _Together(Collector):
    """What several collectors have collected, as one.

    ``Collector.delete()`` asks for ``self.using`` with every signal and statement, while it
    goes through its collections: ``using`` follows what it has come to.
    """

    def __init__(self, root: Collector, order: Order, collectors: dict[str, Collector]) -> None:
        super().__init__(using=root.using, origin=root.origin)
        self._homes = order.models
        self._collectors = list(collectors.values())
        for model, alias in order.models.items():
            self.data[model] = collectors[alias].data.get(model, set())
        updates = {}
        for alias, collector in collectors.items():
            for dependent, others in collector.dependencies.items():
                self.dependencies[dependent] |= others
            fast: list[Any] = collector.fast_deletes
            self.fast_deletes += [
                _At(alias, queryset)  # type: ignore[misc]
                for queryset in fast
                if not isinstance(queryset, Verdict)
            ]
            for change, instances in collector.field_updates.items():
                updates[change] = (alias, instances)
        self.field_updates = _Followed(self, updates)  # type: ignore[assignment]

    def sort(self) -> None:
        unsorted = self.data
        super().sort()
        ordered = list(self.data)
        if self.data is unsorted:
            # A circle: in each database what hangs on a row goes before it all the same.
            for collector in self._collectors:
                collector.sort()
            ordered = [model for collector in self._collectors for model in collector.data]
        self.data = _Followed(
            self, {model: (self._homes[model], self.data[model]) for model in ordered}
        )


class _Followed(dict[Any, Any]):
    """A collection of ``_Together``: going through it takes ``using`` from alias to alias."""

    def __init__(self, collector: _Together, items: dict[Any, tuple[str, Any]]) -> None:
        super().__init__({key: value for key, (_, value) in items.items()})
        self._collector = collector
        self._aliases = {key: alias for key, (alias, _) in items.items()}

    def items(self) -> Iterator[tuple[Any, Any]]:  # type: ignore[override]
        for key, value in super().items():
            self._collector.using = self._aliases[key]
            yield key, value


class _At:
    """A queryset-like in ``fast_deletes`` that is deleted in its own database."""

    def __init__(self, alias: str, queryset: Any) -> None:
        self.model = queryset.model
        self._alias = alias
        self._queryset = queryset

    def _raw_delete(self, using: str) -> int:
        deleted: int = self._queryset._raw_delete(using=self._alias)
        return deleted


def _is_heard(found: Iterable[type[models.Model]]) -> bool:
    """Tell whether anybody listens to the deletion of these models or of what hangs on them."""
    seen: set[type[models.Model]] = set()
    waiting = list(found)
    while waiting:
        model = waiting.pop()
        if model in seen:
            continue
        seen.add(model)
        if graph.has_listeners(model):
            return True
        waiting += [field.model for field in graph.relations_to(model)]
        waiting += [
            private.related_model
            for private in model._meta.private_fields
            if hasattr(private, "bulk_related_objects")
        ]
    return False
