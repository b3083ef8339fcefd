"""How each block of a SELECT comes.

Owns the decisions. In their order, for each block:

* its conditions go to its own database (*push*);
* conditions that stand where they cannot go there as they are become sets of keys;
* a block by which rows are only filtered is left out, for a set of keys (*keys*) or, where
  the query is ordered and limited, a walk along its order (``walk``);
* a query ordered by a block, and limited, is walked along the block's order (``top``);
* groups that are a block's keys are made here, and named (``groups``);
* what is still needed is brought (*ship*), for the keys that are asked for (*reduce*).

What decides is cheap: the catalogs' estimates and reads of a bounded number of keys.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import NotSupportedError, connections
from django.db.models.sql.where import AND, WhereNode

from xdbrel.query import (
    blocks,
    conditions,
    groups,
    keysets,
    limits,
    partial,
    references,
    statistics,
    walk,
)
from xdbrel.query.blocks import Block
from xdbrel.query.shipment import BlockShipment
from xdbrel.query.truth import truth_of


def plan(compiler: Any, run: Any, found: list[Block]) -> Planner:
    """Rewrite ``compiler.query``, a copy, so that each block is here, or is not needed."""
    planner = Planner(compiler, run, found)
    planner.refuse_locks()
    if planner.raw:
        # Raw SQL may name any column of any of the tables.
        for block in blocks.find(compiler, together=False):
            planner.ship(block, whole=True)
        return planner
    planner.push()
    planner.filter()
    walked = planner.is_root and walk.narrow(planner)
    if not walked:
        if planner.is_root:
            groups.name(planner)
        planner.membership()
    planner.judge()
    planner.bring(reduce=not walked)
    return planner


class Planner:
    """The plan of one SELECT while it is made."""

    def __init__(self, compiler: Any, run: Any, found: list[Block]) -> None:
        self.compiler = compiler
        self.query = compiler.query
        self.run = run
        self.blocks = found
        self.using: str = compiler.connection.alias
        self.is_root = run.root is compiler
        #: Whether no row fulfils some of the conditions.
        self.found_nothing = False
        #: Blocks whose rows have to exist, and of which nothing in WHERE says so yet.
        self.untested = [block for block in found if not block.optional and block.key]
        self.raw = bool(self.query.extra) or any(
            alias == references.ANYTHING for alias in self._mentioned_anywhere()
        )

    # What the query uses.

    def expressions(self) -> list[Any]:
        """Return what the query uses beside its WHERE and its joins."""
        found: list[Any] = list(self.compiler.used)
        if isinstance(self.query.group_by, tuple):
            found += [one for one in self.query.group_by if not isinstance(one, str)]
        return found

    def joins(self, block: Block) -> list[Any]:
        """Return the entries outside of ``block`` that join it."""
        return [
            entry
            for alias, entry in self.query.alias_map.items()
            if self.query.alias_refcount[alias]
            and alias not in block.aliases
            and (
                entry.parent_alias in block.aliases
                or references.aliases(entry.filtered_relation) & block.aliases
            )
        ]

    def uses(self, block: Block) -> bool:
        """Tell whether columns of ``block`` are used outside of the conditions it took."""
        return bool(
            self.joins(block)
            or block.entry.filtered_relation is not None
            or conditions.mentions([self.query.where, *self.expressions()], block)
        )

    def _mentioned_anywhere(self) -> set[str]:
        joined = [
            entry.join_field.get_extra_restriction(alias, entry.parent_alias)
            for alias, entry in self.query.alias_map.items()
            if self.query.alias_refcount[alias] and entry.parent_alias is not None
        ]
        return {
            alias
            for node in [self.query.where, *joined, *self.expressions()]
            for alias in references.aliases(node)
        }

    def refuse_locks(self) -> None:
        """Refuse ``select_for_update(of=…)`` of rows that live elsewhere."""
        query = self.query
        if not query.select_for_update:
            return
        features = self.compiler.connection.features
        if not features.has_select_for_update or not self.is_root:
            return
        elsewhere = [block.model for block in self.blocks]
        for name in query.select_for_update_of:
            model: Any = query.model
            try:
                for part in () if name == "self" else name.split("__"):
                    model = model._meta.get_field(part).related_model
            except FieldDoesNotExist:
                # Django says so, and what may be given.
                continue
            if model in elsewhere:
                block = self.blocks[elsewhere.index(model)]
                raise NotSupportedError(
                    f"select_for_update(of=[{name!r}]) cannot lock rows of "
                    f"{model._meta.label}, which live in database {block.home!r}, in a query on "
                    f"database {self.using!r}. Lock them by a query of their own: "
                    f"{model.__name__}.objects.using({block.home!r}).select_for_update()."
                )

    # The steps.

    def push(self) -> None:
        """Let each block's own database apply the conditions that are the block's alone."""
        for block in self.blocks:
            restriction = _restriction(block)
            if restriction is not None:
                # A row that it excludes is joined to nothing.
                block.conditions.append(restriction)
            if block.optional:
                continue
            rest, taken = conditions.take(self.query.where, block)
            block.conditions += taken
            if taken:
                self.run.note(block, "push", "its own database applies its conditions")
            self.query.where = _node(rest)

    def filter(self) -> None:
        """Make sets of keys of conditions that stand beside others, or of blocks that may lack."""
        for block in self.blocks:
            if block.key is not None:
                member = functools.partial(self._member, block)
                self.query.where = _node(conditions.replace(self.query.where, block, member))

    def _member(self, block: Block, condition: Any) -> Any:
        """Return what holds, in the column outside, for the rows that fulfil ``condition``."""
        assert block.key is not None
        column, _ = block.key
        if block.optional:
            missing = keysets.holds_for_none(block, condition)
            if missing is None:
                return condition
            if missing:
                untrue = keysets.untrue(condition)
                found = keysets.for_column(block, column, self.using, self.limit, condition=untrue)
                if found is None:
                    return condition
                self.run.note(block, "keys", "rows that do not fulfil the condition", len(found))
                self.found_nothing |= not found
                return keysets.either(
                    keysets.is_null(column), keysets.opposite(keysets.key_in(column, found))
                )
        found = keysets.for_column(block, column, self.using, self.limit, condition=condition)
        if found is None:
            return condition
        self.run.note(block, "keys", "rows that fulfil the condition", len(found))
        self.found_nothing |= not found
        return keysets.key_in(column, found)

    @property
    def limit(self) -> int:
        """The most keys that may stand in the statement."""
        if connections[self.using].vendor == "mysql":
            return limits.LISTED
        return int(self.run.budget)

    def few(self, limit: int) -> None:
        """Let a block that has few keys filter by them, whatever else is needed of it."""
        # What hangs by another block comes first: its keys are conditions of that one.
        for block in self.untested[::-1]:
            read = (block.home, block.model, WhereNode(list(block.conditions)), limit)
            if statistics.was_many(*read) or not (block.conditions or self.is_small(block)):
                continue
            found = keysets.of_block(block, limit)
            if found is None:
                statistics.found_many(*read)
            else:
                self._take(block, found)

    def membership(self) -> None:
        """Leave out the blocks that only filter: what is asked for has to be among their keys."""
        for block in self.blocks[::-1]:
            if block.key is None or self.uses(block):
                continue
            if block in self.untested:
                asked = self._asked_by_few(block)
                if asked is None:
                    found = keysets.for_column(block, block.key[0], self.using, self.limit)
                else:
                    found = keysets.of_block(block, len(asked), among=asked)
                if found is None:
                    continue
                self._take(block, found)
            self.leave_out(block)

    def _asked_by_few(self, block: Block) -> list[Any] | None:
        """Return the keys that the rest of the query asks for, if it says which, and few."""
        if self.query.where or not block.conditions:
            found: list[Any] | None = keysets.outside(
                self.query, block, self.blocks, self.using, limits.FEW
            )
            return found
        return None

    def _take(self, block: Block, found: Sequence[Any]) -> None:
        assert block.key is not None
        self.run.note(block, "keys", "rows that fulfil the conditions", len(found))
        self.found_nothing |= not found
        column, _ = block.key
        member = keysets.key_in(column, found)
        self.untested.remove(block)
        for other in self.blocks:
            if column.alias in other.aliases and not other.optional:
                # The key is a column of that block, whose own database applies it. What was
                # known of its keys is known no more.
                other.conditions.append(member)
                if other not in self.untested:
                    self.untested.append(other)
                return
        self.query.where = WhereNode([self.query.where, member], AND)

    def is_small(self, block: Block) -> bool:
        """Tell whether the block's table has so few rows that nothing else is worth a thought."""
        estimate = statistics.rows(block.model, block.home)
        return estimate is not None and estimate <= limits.FEW

    def leave_out(self, block: Block) -> None:
        """Take the block's joins out of the query."""
        for alias in block.aliases:
            self.query.alias_refcount[alias] = 0
        self.blocks = [one for one in self.blocks if one is not block]

    def judge(self) -> None:
        """Let each block's own database judge the conditions that are left, if it might differ."""
        for block in self.blocks:
            if connections[block.home].vendor != connections[self.using].vendor:
                judged = functools.partial(truth_of, block)
                self.query.where = _node(
                    conditions.replace_anywhere(self.query.where, block, judged)
                )

    def bring(self, *, reduce: bool) -> None:
        """Ship what is still needed."""
        for block in self.blocks:
            if reduce and block.join is not None:
                self._reduce(block)
            # Where rows that are equal in what is used of them add nothing.
            block.distinct = self._is_exists() or self._is_distinct()
            self.ship(block)

    def _reduce(self, block: Block) -> None:
        """Bring only the rows that the rest of the query asks for, where these are few."""
        if not self.query.where and keysets.local_entries(self.query, self.blocks):
            # All rows of this side: most of the other's are asked for.
            return
        few = block.conditions and keysets.of_block(block, limits.FEW) is not None
        if few or self.is_small(block):
            return
        asked = keysets.outside(self.query, block, self.blocks, self.using, limits.REDUCED)
        if asked is not None:
            self.run.note(block, "reduce", "keys that the query asks for", len(asked))
            assert block.join is not None
            block.conditions.append(keysets.key_in(block.join[1], asked))

    def ship(self, block: Block, *, whole: bool = False) -> None:
        """Let the block's rows stand in a table here."""
        shipment = BlockShipment(block.home, block.label, block)
        if whole:
            for field in block.model._meta.concrete_fields:
                shipment.column(block.root, field)
        self.run.ship(shipment)
        shipment.reason = "columns of it are needed"
        aggregates = [] if whole else partial.aggregates_of(self, block)
        if aggregates:
            block.grouped = True
            shipment.aggregates = aggregates
            shipment.reason = "its rows are counted, and need not come for that"
        for alias in block.aliases:
            self.run.scopes[-1][alias] = shipment

    def _is_distinct(self) -> bool:
        return bool(
            self.query.distinct
            and self.query.group_by is None
            and not any(getattr(one, "contains_over_clause", False) for one in self.compiler.used)
        )

    def _is_exists(self) -> bool:
        query = self.query
        return bool(
            query.subquery
            and not query.default_cols
            and not query.select
            and list(query.annotation_select) == ["a"]
            and query.group_by is None
        )


def _restriction(block: Block) -> Any:
    """Return what a generic relation wants of the rows that it joins; None if nothing."""
    entry = block.entry
    if entry.parent_alias is None:
        return None
    found = entry.join_field.get_extra_restriction(entry.table_alias, entry.parent_alias)
    return found if found is not None and references.aliases(found) <= {block.root} else None


def _node(where: Any) -> WhereNode:
    if where is None:
        return WhereNode()
    return where if isinstance(where, WhereNode) else WhereNode([where])
