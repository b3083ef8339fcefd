"""What refuses a move before anything is written: ends, tables, and relations torn apart.

Owns the reasons and their remedies. Which rows go is for ``plan``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.db import connections, models, router

from xdbrel import content_types, keys, placement
from xdbrel.cascade.graph import concrete
from xdbrel.compat import is_inside_transaction
from xdbrel.exceptions import describe_keys
from xdbrel.integrity.repairing import kept
from xdbrel.models import MoveRun
from xdbrel.moving import edges
from xdbrel.moving.generic import generically, ids_of_types
from xdbrel.moving.parts import Part
from xdbrel.query.places import stands
from xdbrel.relations import handle_of

if TYPE_CHECKING:
    from xdbrel.moving.plan import Plan

#: How many keys a refusal spells out.
SHOWN = 5


def check(plan: Plan) -> None:
    """Raise ``CannotMove`` where rows that go and rows that stay cannot be parted."""
    for part in plan.parts:
        _check_dependants(plan, part)
        _check_targets(plan, part)
        _check_generic(plan, part)


def check_ends(plan: Plan) -> None:
    for alias in (plan.source, plan.destination):
        if alias not in connections.settings or not placement.is_configured(alias):
            known = ", ".join(name for name in connections if placement.is_configured(name))
            raise plan.refusal(f"there is no database {alias!r}", f"There are: {known}.")
        if placement.primary(alias) != alias:
            raise plan.refusal(
                f"{alias!r} is a replica", f"Name its primary, {placement.primary(alias)!r}."
            )
    if placement.same_home(plan.source, plan.destination):
        raise plan.refusal("both are the same database", "Name another one.")
    for model in plan.roots:
        if model._meta.app_label == MoveRun._meta.app_label:
            raise plan.refusal(
                "xdbrel's own rows speak of the database that they stand in", "Leave them there."
            )
        if model._meta.label_lower == "contenttypes.contenttype":
            raise plan.refusal(
                "every database has its own content types", "migrate makes them there."
            )
    for alias in (plan.source, plan.destination):
        if is_inside_transaction(alias):
            raise plan.refusal(
                f"a transaction is open on {alias!r}, and each batch is one of its own",
                "Call it outside of atomic().",
            )
    if not router.allow_migrate_model(plan.source, MoveRun) or not stands(MoveRun, plan.source):
        raise plan.refusal(
            f"database {plan.source!r} has no table to keep the move in",
            f"Allow the app 'xdbrel' there, and run \"manage.py migrate xdbrel "
            f'--database={plan.source}".',
        )


def check_tables(plan: Plan, part: Part) -> None:
    """Refuse where a table is missing, or has columns that would be left out."""
    table = part.model._meta.db_table
    for alias in (plan.source, plan.destination):
        connection = connections[alias]
        with connection.cursor() as cursor:
            if table not in connection.introspection.table_names(cursor):
                remedy = (
                    "It is not managed by Django: create it there."
                    if not part.model._meta.managed
                    else f'Allow it there (XDBREL["MOVING"]) and run "manage.py migrate '
                    f'--database={alias}"; where that has been done before, Django takes it for '
                    f'made: "migrate {part.model._meta.app_label} zero --fake '
                    f'--database={alias}" first.'
                )
                raise plan.refusal(
                    f"database {alias!r} has no table {table!r}", remedy, part.label
                )
            described = connection.introspection.get_table_description(cursor, table)
        unknown = kept.unknown_columns(part.model, using=alias)
        if unknown:
            raise plan.refusal(
                f"its table in {alias!r} has columns that the model does not know: "
                f"{', '.join(unknown)}",
                "Declare them, or drop them.",
                part.label,
            )
        there = {column.name.lower() for column in described}
        lacking = [str(one.column) for one in part.fields if str(one.column).lower() not in there]
        if lacking:
            raise plan.refusal(
                f"its table in {alias!r} lacks columns: {', '.join(lacking)}",
                f'Run "manage.py migrate --database={alias}".',
                part.label,
            )


def _check_dependants(plan: Plan, part: Part) -> None:
    """Refuse where rows that stay point at rows that go."""
    for one in edges.incoming(part.model):
        if edges.is_parent_link(one) and plan.part(one.model) is not None:
            continue
        rows = staying(plan, part, one)
        if rows is not None and rows.exists():
            label = one.model._meta.label
            raise plan.refusal(
                f"{handle_of(one)} points at them, and rows of {label} stay in {plan.source!r}",
                f"Let these go along (along=[{label!r}], --along {label}), or make the field a "
                f"CrossDBForeignKey, which may point at another database.",
                part.label,
            )


def staying(
    plan: Plan, part: Part, one: Any, among: Sequence[Any] | None = None
) -> models.QuerySet[Any] | None:
    """Return the rows that stay at the source and whose field ``one`` points at what goes.

    ``among`` are keys, of the field's target, that are looked at, in place of all that go.
    None where there can be no such row.
    """
    model = one.model
    mine = plan.part(model)
    if (mine is not None and mine.whole) or not stands(model, plan.source):
        return None
    rows: Any = models.QuerySet(model, using=plan.source).order_by()
    if among is not None:
        rows = rows.filter(**{f"{one.attname}__in": among})
    elif part.whole:
        rows = rows.filter(**{f"{one.name}__isnull": False})
    else:
        rows = rows.filter(**{f"{one.attname}__in": part.chosen.values(one.target_field.attname)})
    if mine is not None:
        rows = rows.exclude(pk__in=mine.chosen.values("pk"))
    found: models.QuerySet[Any] = rows
    return found


def _check_targets(plan: Plan, part: Part) -> None:
    """Refuse where rows that go point at what neither goes nor is at the destination."""
    for one in edges.outgoing(part.model):
        model = edges.target(one)
        if model._meta.label_lower == "contenttypes.contenttype":
            continue
        aim = plan.part(model)
        if aim is not None and aim.whole:
            continue
        key = one.target_field
        if edges.is_parent_link(one) and aim is not None:
            continue
        rows = part.chosen.filter(**{f"{one.name}__isnull": False}).order_by()
        if aim is not None:
            rows = rows.exclude(**{f"{one.attname}__in": aim.chosen.values(key.attname)})
        missing: list[Any] = []
        found = rows.values_list(one.attname, flat=True).distinct()
        for chunk in keys.chunks(found.iterator(), keys.chunk_size(plan.source, key, listed=True)):
            missing += _unlike(plan, model, key, chunk)
            if missing:
                break
        if missing:
            shown = ", ".join(repr(value) for value in missing[:SHOWN])
            raise plan.refusal(
                f"{handle_of(one)} points at {model._meta.label} {shown}, which neither go "
                f"along nor are the same rows in {plan.destination!r}",
                f"Move {model._meta.label} as well, or make the field a CrossDBForeignKey.",
                part.label,
            )


def _unlike(plan: Plan, model: type[models.Model], key: Any, wanted: list[Any]) -> list[Any]:
    """Return those of the keys whose rows are not at the destination as they are here."""
    if not stands(model, plan.destination):
        return wanted
    table = concrete(key.model)
    part = Part(table, plan.source, plan.destination, models.QuerySet(table, using=plan.source))
    place = part.names.index(key.attname)
    digests = []
    for alias in (plan.source, plan.destination):
        rows = part.all(alias).filter(**{f"{key.attname}__in": wanted})
        digests.append({row[place]: part.digest(row) for row in part.read(rows, alias)})
    here, there = digests
    return [value for value in wanted if value not in there or here.get(value) != there[value]]


def _check_generic(plan: Plan, part: Part) -> None:
    """Refuse where generic relations would be torn apart."""
    for generic in filter(edges.stays_beside, edges.all_generic()):
        model = generic.model
        mine = plan.part(model)
        if (mine is not None and mine.whole) or not stands(model, plan.source):
            continue
        for pointing in generically(generic, part.chosen, plan.source, whole=part.whole):
            rows: Any = models.QuerySet(model, using=plan.source).filter(pointing)
            if mine is not None:
                rows = rows.exclude(pk__in=mine.chosen.values("pk"))
            if rows.exists():
                label = model._meta.label
                raise plan.refusal(
                    f"{label}.{generic.name} points at them generically, and rows of {label} "
                    f"stay in {plan.source!r}",
                    f"Let these go along (along=[{label!r}], --along {label}), or delete them.",
                    part.label,
                )
    for generic in filter(edges.stays_beside, edges.generic(part.model)):
        content_type: Any = part.model._meta.get_field(generic.ct_field)
        rows = part.chosen.filter(**{f"{content_type.attname}__isnull": False})
        for one in plan.parts:
            for pointing in generically(generic, one.chosen, plan.source, whole=one.whole):
                rows = rows.exclude(pointing)
        if rows.exists():
            raise plan.refusal(
                f"{part.label}.{generic.name} points generically at rows that stay in "
                f"{plan.source!r}",
                "Let those go along, or leave these rows here.",
                part.label,
            )


def translations(plan: Plan, part: Part) -> dict[str, dict[Any, Any]]:
    """Return, by attribute, what ids of content types are at the destination."""
    if not content_types.installed():
        return {}
    found: dict[str, dict[Any, Any]] = {}
    for one in edges.pointing(part.model, [content_types.model()]):
        aliases = [
            content_types.alias_for(one, alias) for alias in (plan.source, plan.destination)
        ]
        if placement.same_home(*aliases):
            # Kept in one place for both, the ids mean the same.
            continue
        here, there = map(ids_of_types, aliases)
        held = set(part.chosen.order_by().values_list(one.attname, flat=True).distinct())
        unknown = sorted(held - {None, *here.values()})
        if unknown:
            raise plan.refusal(
                f"{handle_of(one)} names content types that database {aliases[0]!r} does not "
                f"have: {describe_keys(unknown)}, and at the destination these may mean others",
                'Run "manage.py xdbrel_contenttypes", which tells what such rows mean, and give '
                "them the right ones.",
                part.label,
            )
        lacking = sorted(
            f"{app}.{name}"
            for (app, name), pk in here.items()
            if pk in held and (app, name) not in there
        )
        if lacking:
            raise plan.refusal(
                f"{handle_of(one)} points at the content types of {', '.join(lacking)}, which "
                f"database {aliases[1]!r} does not have",
                f'Run "manage.py migrate --database={aliases[1]}", which makes them.',
                part.label,
            )
        found[one.attname] = {
            pk: there[natural] for natural, pk in here.items() if natural in there
        }
    return found
