"""Blocks: the tables of a query that live together in another database.

Owns which tables make one block. Tables of one home that are joined with each other stay
together, so that their own database joins them; what a block takes from outside is one join.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models.expressions import ColPairs
from django.db.models.sql import Query
from django.db.models.sql.constants import INNER, LOUTER
from django.db.models.sql.datastructures import BaseTable
from django.db.models.sql.where import WhereNode

from xdbrel import placement
from xdbrel.query import places, references
from xdbrel.query.state import root_of
from xdbrel.relations import is_composite


class KeyColumns(ColPairs):
    """The columns of a key that has several, as one column whose values are tuples."""

    @classmethod
    def of(cls, field: Any, alias: str) -> KeyColumns:
        return cls(alias, field.fields, field.fields, field)

    @property
    def target(self) -> Any:
        """The field without a column that they are."""
        return self.output_field


@dataclass(eq=False)
class Block:
    """Tables of one home, the first of which hangs on the rest of the query.

    What it is asked about itself holds from when all of its entries are known.
    """

    home: str
    model: Any
    #: The entry of ``alias_map`` that the block hangs by.
    entry: Any
    entries: list[Any] = field(default_factory=list)
    #: Conditions that its own database applies.
    conditions: list[Any] = field(default_factory=list)
    #: Whether equal rows count as one.
    distinct: bool = False
    #: Whether what comes are aggregates, for each value of the other columns.
    grouped: bool = False

    @property
    def root(self) -> str:
        """The alias that stands for the block in the query's FROM."""
        return str(self.entry.table_alias)

    @property
    def label(self) -> str:
        """What the block is called towards people: its model, and the relation to it."""
        told = str(self.model._meta.label)
        field = getattr(self.entry, "join_field", None)
        field = getattr(field, "field", field)
        return told if field is None else f"{told} along {field.model._meta.label}.{field.name}"

    @functools.cached_property
    def aliases(self) -> set[str]:
        return {entry.table_alias for entry in self.entries}

    @property
    def optional(self) -> bool:
        """Whether rows of the query stay where the block has none for them."""
        return bool(self.entry.join_type == LOUTER)

    @functools.cached_property
    def join(self) -> tuple[Any, Any] | None:
        """The column outside and the one inside that have to be equal; ``None`` if it is more.

        Of a relation of xdbrel's over several columns: its ``KeyColumns`` on both sides.
        """
        if self.entry.parent_alias is None or not _is_plain(self.entry):
            return None
        field = _composite(self.entry)
        if field is not None:
            ends = [field.model._meta.get_field(field.attname), field.target_field]
            if field is not self.entry.join_field:
                ends.reverse()
            return KeyColumns.of(ends[0], self.entry.parent_alias), KeyColumns.of(
                ends[1], self.root
            )
        ((outside, inside),) = self.entry.join_fields
        return outside.get_col(self.entry.parent_alias), inside.get_col(self.root)

    @functools.cached_property
    def key(self) -> tuple[Any, Any] | None:
        """The ``join``, if each row of the query finds one row at most; ``None`` otherwise."""
        join = self.join
        return join if join and all(finds_one(entry) for entry in self.entries) else None

    def column(self, alias: str, target: Any) -> Any:
        """Return a column of one of the tables, as the block's own database reads it."""
        return target.get_col(alias)

    def query(self, select: Sequence[Any], conditions: Sequence[Any] = ()) -> Any:
        """Return the query, for the block's home, of these columns of its rows.

        ``conditions`` come to the block's own.
        """
        query: Any = Query(self.model)
        query.default_cols = False
        query.clear_ordering(force=True)
        query.alias_map = {
            entry.table_alias: (
                BaseTable(entry.table_name, entry.table_alias) if entry is self.entry else entry
            )
            for entry in self.entries
        }
        query.alias_refcount = dict.fromkeys(query.alias_map, 1)
        query.table_map = {}
        for entry in self.entries:
            query.table_map.setdefault(entry.table_name, []).append(entry.table_alias)
        query.where = WhereNode([*self.conditions, *conditions])
        query.distinct = self.distinct
        query.select = tuple(select)
        if self.grouped:
            query.group_by = tuple(one for one in select if not one.contains_aggregate)
        return query


def find(compiler: Any, *, together: bool = True) -> list[Block]:
    """Return the blocks of the compiler's query, in the order of their joins.

    Without ``together``, each table is a block of its own.
    """
    query = compiler.query
    blocks: list[Block] = []
    of: dict[str, Block] = {}
    for alias, entry in query.alias_map.items():
        if not query.alias_refcount[alias]:
            continue
        model = places.model_of(query, entry)
        home = home_of(compiler, model)
        if home is None:
            continue
        block = of.get(entry.parent_alias)
        if block is not None and placement.same_home(block.home, home):
            # Another replica may be at another moment.
            home = block.home
        if not together or block is None or block.home != home or not _joins(block, entry):
            block = Block(home=home, model=model, entry=entry)
            blocks.append(block)
        block.entries.append(entry)
        of[alias] = block
    return blocks


def home_of(compiler: Any, model: Any) -> str | None:
    """Return where a table of the compiler's query is brought from; ``None`` if it is here.

    Who names a database that is not the model's home (``using()``) and has its table all the
    same means the rows there: those of before a move, or of a copy. Of the other tables that
    live where that one does, those that stand beside it are then taken there as well.
    """
    here = compiler.connection.alias
    home = places.elsewhere(model, here)
    asked = root_of(compiler).query.model
    if home is None:
        # Who asks for rows of a database by its name gets what it has; all others, what the
        # routers say.
        home = places.told_elsewhere(model, here)
        return None if home is None or places.told_elsewhere(asked, here) else home
    if asked is None or places.elsewhere(asked, here) != home:
        return home
    return None if places.stands(asked, here) and places.stands(model, here) else home


def _joins(block: Block, entry: Any) -> bool:
    """Tell whether the entry may be joined inside the block's own database."""
    if entry.join_type == INNER and block.optional:
        # It takes away the rows for which the block has none.
        return False
    mentioned = references.aliases(entry.filtered_relation)
    return mentioned <= {entry.table_alias, *(known.table_alias for known in block.entries)}


def _composite(entry: Any) -> Any:
    """Return the relation of xdbrel's over several columns that an entry is joined by, if any."""
    joined = entry.join_field
    field = getattr(joined, "field", joined)
    if is_composite(field) and getattr(field, "crosses_databases", False):
        return field
    return None


def _is_plain(entry: Any) -> bool:
    return (
        entry.filtered_relation is None
        and (len(entry.join_fields or ()) == 1 or _composite(entry) is not None)
        and entry.join_field.get_extra_restriction(entry.table_alias, entry.parent_alias) is None
    )


def finds_one(entry: Any) -> bool:
    """Tell whether a joined table has one row at most for each row it is joined to."""
    if not entry.join_fields or len(entry.join_fields) != 1:
        # Along a relation over several columns: to what these are unique in.
        return _composite(entry) is not None and _composite(entry) is entry.join_field
    return bool(entry.join_fields[0][1].unique)
