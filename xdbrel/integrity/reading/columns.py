"""What a database says of the column that holds an end's keys.

Owns the look into the catalogs: the column's own type, which an unmanaged table may have
otherwise than the field says, its index, and what the statistics estimate. It is a
matter of a millisecond. What follows from it is for ``ends`` and ``planner``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db import connections

INTEGER, UUID, TEXT, OTHER = "integer", "uuid", "text", "other"


@dataclass(frozen=True)
class Column:
    """A column as it is in the database; the defaults are what is taken where nothing is known.

    ``kind`` is one of the names above, empty where the database does not know the column.
    ``type`` is the database's own name of its type, ``length`` that of text, in characters,
    ``collation`` the name of one that is not the database's, ready for a statement.
    ``indexed`` tells whether an index begins with it, ``unique`` (of SQLite) whether a unique
    one is on it alone.
    ``rows`` and ``distinct``, rows of the table and different values, are estimates.
    """

    kind: str = ""
    type: str = ""
    length: int | None = None
    collation: str | None = None
    indexed: bool = True
    unique: bool = False
    rows: int | None = None
    distinct: int | None = None


def look_up(using: str, table: str, name: str) -> Column:
    """Return what ``using`` says of the column ``name`` of ``table``."""
    connection = connections[using]
    described = _DESCRIBED.get(connection.vendor)
    return Column() if described is None else described(connection, table, name)


# A table that grew since it was analyzed has the same rows on each of its pages.
_POSTGRESQL = """
SELECT t.typname, nullif(a.atttypmod, -1) - 4,
       CASE WHEN c.collname <> 'default'
            THEN quote_ident(n.nspname) || '.' || quote_ident(c.collname) END,
       EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = r.oid AND i.indkey[0] = a.attnum
               AND i.indpred IS NULL AND i.indisvalid),
       CASE WHEN r.reltuples < 0 THEN NULL
            WHEN r.relpages = 0 THEN r.reltuples
            ELSE r.reltuples / r.relpages
                 * (pg_relation_size(r.oid) / current_setting('block_size')::bigint) END,
       s.n_distinct
FROM pg_class r
JOIN pg_attribute a ON a.attrelid = r.oid
JOIN pg_type u ON u.oid = a.atttypid
JOIN pg_type t ON t.oid = CASE WHEN u.typbasetype = 0 THEN u.oid ELSE u.typbasetype END
LEFT JOIN pg_collation c ON c.oid = a.attcollation
LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
LEFT JOIN pg_stats s ON s.attname = a.attname AND s.tablename = r.relname
     AND s.schemaname = (SELECT nspname FROM pg_namespace WHERE oid = r.relnamespace)
WHERE r.oid = to_regclass(%s) AND a.attname = %s AND NOT a.attisdropped
ORDER BY s.inherited DESC LIMIT 1
"""

_POSTGRESQL_KINDS = {
    **dict.fromkeys(["int2", "int4", "int8"], INTEGER),
    **dict.fromkeys(["text", "varchar", "bpchar", "citext", "name"], TEXT),
    "uuid": UUID,
}


def _postgresql(connection: Any, table: str, name: str) -> Column:
    with connection.cursor() as cursor:
        cursor.execute(_POSTGRESQL, [connection.ops.quote_name(table), name])
        row = cursor.fetchone()
    if row is None:
        return Column()
    kind, length, collation, indexed, rows, distinct = row
    rows = None if rows is None else round(rows)
    if distinct is not None and rows is not None and distinct < 0:
        # A share of the rows, which it grows with.
        distinct = -distinct * rows
    return Column(
        kind=_POSTGRESQL_KINDS.get(kind, OTHER),
        type=kind,
        length=length,
        collation=collation,
        indexed=indexed,
        rows=rows,
        distinct=None if distinct is None or distinct < 0 else round(distinct),
    )


# Each table of the schema is named with the constants that it is looked up by: joined on the
# other's columns, it would be read for every table of the server.
_MYSQL = """
SELECT c.data_type, c.character_maximum_length,
       CASE WHEN c.character_set_name = 'utf8mb4' THEN c.collation_name END,
       s.indexes, t.table_rows, s.cardinality
FROM information_schema.columns c
JOIN information_schema.tables t
     ON t.table_schema = DATABASE() AND t.table_name = %s
LEFT JOIN (SELECT COUNT(*) AS indexes, MAX(cardinality) AS cardinality
           FROM information_schema.statistics
           WHERE table_schema = DATABASE() AND table_name = %s AND column_name = %s
           AND seq_in_index = 1 AND index_type = 'BTREE') s ON TRUE
WHERE c.table_schema = DATABASE() AND c.table_name = %s AND c.column_name = %s
"""

_MYSQL_KINDS = {
    **dict.fromkeys(["tinyint", "smallint", "mediumint", "int", "bigint"], INTEGER),
    **dict.fromkeys(["char", "varchar", "tinytext", "text", "mediumtext", "longtext"], TEXT),
    "uuid": UUID,
}


def _mysql(connection: Any, table: str, name: str) -> Column:
    with connection.cursor() as cursor:
        cursor.execute(_MYSQL, [table, table, name, table, name])
        row = cursor.fetchone()
    if row is None:
        return Column()
    kind, length, collation, indexes, rows, distinct = row
    return Column(
        kind=_MYSQL_KINDS.get(kind.lower(), OTHER),
        type=kind.lower(),
        length=length,
        collation=collation,
        indexed=bool(indexes),
        rows=rows,
        distinct=distinct,
    )


_SQLITE = """
SELECT upper(c.type),
       c.pk = 1 AND upper(c.type) = 'INTEGER'
       AND (SELECT COUNT(*) FROM pragma_table_info(%s) WHERE pk > 0) = 1,
       (SELECT COUNT(*) FROM pragma_index_list(%s) l JOIN pragma_index_info(l.name) x
        WHERE l.partial = 0 AND x.seqno = 0 AND x.name = c.name),
       (SELECT COUNT(*) FROM pragma_index_list(%s) l JOIN pragma_index_info(l.name) x
        WHERE l.partial = 0 AND x.seqno = 0 AND x.name = c.name AND l."unique"
        AND (SELECT COUNT(*) FROM pragma_index_info(l.name)) = 1),
       EXISTS (SELECT 1 FROM sqlite_master m WHERE m.type = 'table' AND m.name = %s
               AND upper(m.sql) NOT LIKE '%%WITHOUT ROWID%%')
FROM pragma_table_info(%s) c WHERE c.name = %s COLLATE NOCASE
"""


_SQLITE_ANALYZED = "SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"

# Of each index: rows, then how many of them share the first column's value, on average.
_SQLITE_STATISTICS = """
SELECT s.stat FROM sqlite_stat1 s
JOIN pragma_index_list(%s) l ON l.name = s.idx AND l.partial = 0
JOIN pragma_index_info(l.name) x ON x.seqno = 0
WHERE s.tbl = %s AND x.name = %s COLLATE NOCASE
"""


def _sqlite(connection: Any, table: str, name: str) -> Column:
    with connection.cursor() as cursor:
        cursor.execute(_SQLITE, [table] * 5 + [name])
        row = cursor.fetchone()
        if row is None:
            return Column()
        kind, is_rowid, indexes, unique, has_rowid = row
        rows = None
        if has_rowid:
            # Rows are not counted: the last one's number is found at once, and seldom far off.
            cursor.execute(f"SELECT MAX(rowid) FROM {connection.ops.quote_name(table)}")  # noqa: S608
            rows = cursor.fetchone()[0] or 0
        cursor.execute(_SQLITE_ANALYZED)
        distinct = None
        if cursor.fetchone() is not None and rows:
            cursor.execute(_SQLITE_STATISTICS, [table, table, name])
            each = [float(told.split()[1]) for (told,) in cursor.fetchall()]
            distinct = round(rows / max(1.0, min(each))) if each else None
    head, _, rest = kind.partition("(")
    length = rest.partition(")")[0].strip()
    return Column(
        kind=_affinity(head),
        type=head.lower(),
        length=int(length) if length.isdigit() else None,
        indexed=bool(is_rowid or indexes),
        unique=bool(is_rowid or unique),
        rows=rows,
        distinct=distinct,
    )


def _affinity(declared: str) -> str:
    """Return the kind of values that SQLite makes of what is stored in such a column."""
    if "INT" in declared:
        return INTEGER
    return TEXT if any(part in declared for part in ("CHAR", "CLOB", "TEXT")) else OTHER


_DESCRIBED = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}
