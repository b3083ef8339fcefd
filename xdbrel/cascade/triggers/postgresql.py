"""PostgreSQL: statement-level triggers with transition tables.

A delete is captured once per statement, up to ``XDBREL["INTENT_KEYS"]`` keys an intent,
TRUNCATE by reading the table before it is emptied. A key change needs the old value beside
the new one, which two transition tables do not pair where the key is the primary key, and
a trigger with such tables fires for updates of any column; so that one is row-level, with a
condition that costs next to nothing where no key changes.

On a partitioned table, statements on the parent fire the parent's triggers and those on a
partition the partition's, so the delete trigger stands on all of them. TRUNCATE fires on
every table that it empties: that trigger stands on the ones that hold rows. Row-level
triggers PostgreSQL itself gives to each partition.

The functions run as their owner, so that other programs need no right to the intents.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings as django_settings

from xdbrel.cascade.triggers.backends import Standing, Trigger, digest_of, literal, quoted
from xdbrel.cascade.triggers.captures import Capture
from xdbrel.cascade.triggers.row import Row, columns
from xdbrel.conf import settings
from xdbrel.models import CascadeIntent

#: Everything a statement may meet that is gone when it is tried again, or that must stop
#: it: the whole statement fails, rows and intents alike.
_PASSING = (
    "transaction_rollback OR lock_not_available OR object_in_use OR query_canceled "
    "OR insufficient_resources OR operator_intervention OR system_error OR internal_error"
)
_OURS = "^xdbrel_(delete|truncate|update)_"
_DENIED = ("42501", "25006")
#: Where a function that serves every partition names the one that it was called for.
_EACH = "{each table}"

_FUNCTION = """
DECLARE
  xdbrel_token text := left(coalesce(current_setting('xdbrel.token', true), ''), 64);
  xdbrel_deletion text := left(coalesce(current_setting('xdbrel.deletion', true), ''), 32);
  xdbrel_keys {array};
BEGIN
  {capture}
  RETURN NULL;
EXCEPTION
  WHEN {passing} THEN
    RAISE;
  WHEN OTHERS THEN
    RAISE WARNING USING
      MESSAGE = {message} || SQLERRM,
      HINT = {hint};
    RETURN NULL;
END
"""

_INSERT = """INSERT INTO {intents} ({columns})
  SELECT {values}
  FROM {keys}
  CROSS JOIN unnest(ARRAY[{handles}]::text[]) AS handles (handle)"""

_PIECES = """(
    SELECT json_agg(numbered.key)::jsonb AS keys
    FROM (
      SELECT {key} AS key, (row_number() OVER () - 1) / {size} AS piece
      FROM {table} AS gone
      WHERE gone.{column} IS NOT NULL
    ) AS numbered
    GROUP BY numbered.piece
  ) AS pieces"""


#: As fast as there is a way, for as many keys as a session may well hold in memory.
_FAST = """SELECT array_agg(few.key) INTO xdbrel_keys FROM (
    SELECT {key} AS key FROM gone WHERE gone.{column} IS NOT NULL LIMIT {limit} + 1
  ) AS few;
  IF cardinality(xdbrel_keys) = 1 THEN
    {single};
  ELSIF cardinality(xdbrel_keys) <= {limit} THEN
    {fast};
  ELSIF xdbrel_keys IS NOT NULL THEN
    {slow};
  END IF"""
#: One row gone is what happens most: nothing has to be sliced or joined for it.
_SINGLE = "INSERT INTO {intents} ({columns}) VALUES {rows}"
_SLICES = """(
    SELECT to_jsonb(xdbrel_keys[starts.first:starts.first + {size} - 1]) AS keys
    FROM generate_series(1, cardinality(xdbrel_keys), {size}) AS starts (first)
    OFFSET 0
  ) AS pieces"""
_IN_MEMORY = 250_000


@dataclass(frozen=True)
class _Table:
    schema: str
    name: str
    kind: str

    @property
    def sql(self) -> str:
        return f"{self.schema}.{self.name}"


def triggers(connection: Any, capture: Capture) -> list[Trigger]:
    """Return the triggers for ``capture`` on its table, and on each partition there is."""
    tables = _tables(connection, capture.table)
    schema = _schema(connection)
    if not tables:
        return []
    root = tables[0]
    column = quoted(connection, capture.column)
    deleted = _function(connection, schema, capture, "delete")
    truncated = _function(connection, schema, capture, "truncate")
    different = "OLD.{0}{1} IS DISTINCT FROM NEW.{0}{1}".format(
        column, '::text COLLATE "C"' if capture.kind == "text" else ""
    )
    found = [
        _trigger(
            schema,
            table,
            capture,
            "delete",
            deleted,
            "AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone FOR EACH STATEMENT",
        )
        for table in tables
    ]
    found += [
        _trigger(
            schema,
            table,
            capture,
            "truncate",
            truncated,
            "BEFORE TRUNCATE ON {table} FOR EACH STATEMENT",
        )
        for table in tables
        if table.kind == "r"
    ]
    if "update" in capture.events:
        found.append(
            _trigger(
                schema,
                root,
                capture,
                "update",
                _function(connection, schema, capture, "update"),
                f"AFTER UPDATE OF {column} ON {{table}} FOR EACH ROW "
                f"WHEN (OLD.{column} IS NOT NULL AND {different})",
            )
        )
    return found


def standing(connection: Any) -> list[Standing]:
    """Return the triggers that call functions in the schema of this alias's intents.

    Other aliases may lead to other schemas of the same database.
    """
    rows = _fetch(
        connection,
        """
        SELECT quote_ident(n.nspname), quote_ident(c.relname), t.tgname, t.tgenabled,
               coalesce(obj_description(t.oid, 'pg_trigger'), '')
        FROM pg_trigger t
        JOIN pg_class c ON c.oid = t.tgrelid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        JOIN pg_proc p ON p.oid = t.tgfoid
        JOIN pg_namespace s ON s.oid = p.pronamespace
        WHERE t.tgname ~ %s AND p.proname = t.tgname AND NOT t.tgisinternal
          AND t.tgparentid = 0 AND quote_ident(s.nspname) = %s
        ORDER BY 1, 2, 3
        """,
        [_OURS, _schema(connection)],
    )
    return [
        Standing(
            f"{schema}.{table}",
            name,
            _digest_in(comment),
            enabled in ("O", "A"),
            (f"DROP TRIGGER IF EXISTS {name} ON {schema}.{table}",),
        )
        for schema, table, name, enabled, comment in rows
    ]


def prepare(connection: Any) -> list[str]:
    """Return statements that make the intents' table quick to write to.

    To compress the keys as PostgreSQL does by default takes as long as to delete the rows.
    """
    rows = _fetch(
        connection,
        """
        SELECT quote_ident(a.attname) FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        WHERE a.attrelid = to_regclass(%s) AND a.attname IN ('keys', 'new_keys')
          AND a.attcompression = '' AND pg_has_role(c.relowner, 'USAGE')
          AND EXISTS (SELECT 1 FROM pg_settings
                      WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals))
        """,
        [quoted(connection, CascadeIntent._meta.db_table)],
    )
    table = f"{_schema(connection)}.{quoted(connection, CascadeIntent._meta.db_table)}"
    return [f"ALTER TABLE {table} ALTER COLUMN {name} SET COMPRESSION lz4" for (name,) in rows]


def tidy(connection: Any) -> list[str]:
    """Return statements that drop the functions that no trigger calls any more."""
    schema = _schema(connection)
    rows = _fetch(
        connection,
        """
        SELECT p.proname FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
        WHERE p.proname ~ %s AND quote_ident(s.nspname) = %s
          AND p.prorettype = 'trigger'::regtype AND p.prosrc LIKE %s
          AND NOT EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgfoid = p.oid)
        """,
        [_OURS, schema, "%xdbrel_token%"],
    )
    return [f"DROP FUNCTION IF EXISTS {schema}.{name}()" for (name,) in rows]


def is_denied(error: Exception) -> bool:
    """Tell whether ``error`` is a lack of privilege, or a server that nobody writes to."""
    return getattr(error.__cause__, "sqlstate", None) in _DENIED


def notes(connection: Any, captures: Sequence[Capture]) -> list[str]:
    """Return nothing: what PostgreSQL's triggers do not see, no administrator does by habit."""
    return []


def _trigger(
    schema: str, table: _Table, capture: Capture, event: str, function: str, when: str
) -> Trigger:
    name = capture.name(event)
    relations = capture.relations_at(event)
    create = (
        f"CREATE OR REPLACE TRIGGER {name} {when.replace('{table}', table.sql)} "
        f"EXECUTE FUNCTION {schema}.{name}()"
    )
    digest = digest_of(function, create)
    return Trigger(
        table.sql,
        name,
        relations,
        digest,
        (
            function,
            # Whoever could put it on a table of his own could write intents at will.
            f"REVOKE ALL ON FUNCTION {schema}.{name}() FROM PUBLIC",
            create,
            f"ALTER TABLE {table.sql} ENABLE TRIGGER {name}",
            f"COMMENT ON TRIGGER {name} ON {table.sql} IS "
            + literal(f"xdbrel {digest}: writes intents for {', '.join(relations)}"),
        ),
    )


def _function(connection: Any, schema: str, capture: Capture, event: str) -> str:
    column = quoted(connection, capture.column)
    new_keys = "NULL::jsonb"
    if event == "update":
        source = (
            f"(SELECT jsonb_build_array({_key(capture, f'OLD.{column}')}) AS keys, "
            f"jsonb_build_array({_key(capture, f'NEW.{column}')}) AS new_keys) AS pieces"
        )
        new_keys = "pieces.new_keys"
    else:
        source = _PIECES.format(
            key=_key(capture, f"gone.{column}"),
            size=settings.INTENT_KEYS,
            table="gone" if event == "delete" else _EACH,
            column=column,
        )

    def values(relation: str, keys: str) -> str:
        row = Row(
            relation=relation,
            keys=keys,
            new_keys=new_keys,
            deletion="{deletion}",
            attempts="0",
            available_at="statement_timestamp() + CASE WHEN {token} = '' THEN interval '0' "
            f"ELSE interval '{settings.CLAIM_SECONDS} seconds' END",
            claimed_by="{token}",
            created_at="statement_timestamp()",
        )
        return row.values()

    intents = f"{schema}.{quoted(connection, CascadeIntent._meta.db_table)}"
    named = columns(lambda name: quoted(connection, name))
    handles = [literal(handle) for handle in capture.relations_at(event)]

    def insert_from(pieces: str) -> str:
        return _INSERT.format(
            intents=intents,
            columns=named,
            values=values("handles.handle", "pieces.keys"),
            keys=pieces,
            handles=", ".join(handles),
        )

    insert = insert_from(source)
    if event == "delete":
        insert = _FAST.format(
            key=_key(capture, f"gone.{column}"),
            column=column,
            limit=_IN_MEMORY,
            single=_SINGLE.format(
                intents=intents,
                columns=named,
                rows=", ".join(
                    f"({values(handle, 'to_jsonb(xdbrel_keys)')})" for handle in handles
                ),
            ),
            fast=insert_from(_SLICES.format(size=settings.INTENT_KEYS)),
            slow=insert,
        )
    if event == "truncate":
        # The same function serves every partition; which one is known when it runs.
        text = insert.replace("{token}", "$1").replace("{deletion}", "$2")
        before, after = text.split(_EACH)
        insert = (
            f"EXECUTE {_dollars(before + 'ONLY ')} || TG_RELID::regclass || "
            f"{_dollars(after)} USING xdbrel_token, xdbrel_deletion"
        )
    else:
        insert = insert.replace("{token}", "xdbrel_token")
        insert = insert.replace("{deletion}", "xdbrel_deletion")
    relations = ", ".join(capture.relations_at(event))
    body = _FUNCTION.format(
        capture=f"{insert};",
        array="bigint[]" if capture.kind == "integer" else "text[]",
        passing=_PASSING,
        message=literal(
            f"xdbrel: what was deleted from {capture.table} was not captured for {relations}: "
        ),
        hint=literal(
            '"manage.py xdbrel_triggers check" says what is wrong, and "manage.py xdbrel_scan '
            f'{" ".join(capture.relations_at(event))}" finds the orphans.'
        ),
    )
    return (
        f"CREATE OR REPLACE FUNCTION {schema}.{capture.name(event)}() RETURNS trigger "
        f"LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp "
        f"AS $xdbrel${body}$xdbrel$"
    )


def _dollars(text: str) -> str:
    return f"$piece${text}$piece$"


def _key(capture: Capture, value: str) -> str:
    """Return the value as ``xdbrel.keys.encode`` would have it, whatever the session's styles."""
    if capture.kind == "integer":
        return value
    if capture.kind == "date":
        return f"to_char({value}, 'YYYY-MM-DD')"
    if capture.kind == "datetime":
        zone, suffix = ("UTC", "+00:00")
        if not django_settings.USE_TZ:
            zone, suffix = django_settings.TIME_ZONE, ""
        return (
            f"to_char({value} AT TIME ZONE {literal(zone)}, "
            f"'YYYY-MM-DD\"T\"HH24:MI:SS.US') || '{suffix}'"
        )
    return f"{value}::text"


def _tables(connection: Any, table: str) -> list[_Table]:
    """Return the table, then its partitions at every depth; none where it is not there."""
    rows = _fetch(
        connection,
        """
        SELECT quote_ident(n.nspname), quote_ident(c.relname), c.relkind
        FROM (
            SELECT to_regclass(%s)::oid AS relid, -1 AS level
            UNION ALL
            SELECT relid, level FROM pg_partition_tree(to_regclass(%s)) WHERE level > 0
        ) AS tree
        JOIN pg_class c ON c.oid = tree.relid
        JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p')
        ORDER BY tree.level, 1, 2
        """,
        [quoted(connection, table)] * 2,
    )
    return [_Table(*row) for row in rows]


def _schema(connection: Any) -> str:
    """Return the schema of this alias's intents; the current one where there are none."""
    ((schema,),) = _fetch(
        connection,
        """
        SELECT quote_ident(coalesce(
            (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.oid = to_regclass(%s)),
            current_schema(),
            'public'
        ))
        """,
        [quoted(connection, CascadeIntent._meta.db_table)],
    )
    return str(schema)


def broken(connection: Any) -> str:
    """Return why what stands may not write intents; "" where it may."""
    table = quoted(connection, CascadeIntent._meta.db_table)
    owners = _fetch(
        connection,
        """
        SELECT DISTINCT p.proowner::regrole::text
        FROM pg_proc p JOIN pg_namespace s ON s.oid = p.pronamespace
        WHERE p.proname ~ %s AND quote_ident(s.nspname) = %s
          AND NOT has_table_privilege(p.proowner, to_regclass(%s), 'INSERT')
        """,
        [_OURS, _schema(connection), table],
    )
    return f"{owners[0][0]}, who made the triggers, may not insert into {table}" if owners else ""


def _digest_in(comment: str) -> str:
    words = comment.split(maxsplit=2)
    return words[1].rstrip(":") if len(words) > 1 and words[0] == "xdbrel" else ""


def _fetch(connection: Any, sql: str, params: list[Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
