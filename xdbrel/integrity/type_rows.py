"""Rows that hold the id of a content type as another database knows it.

A row's id means what it means in the database that the row's content types are in. Where that
is nothing, and exactly one of the models that it means elsewhere has an object with the row's
key, that model is meant. Where it is a model without such an object, that is no proof: the
object may have been deleted, and another have the same number; only among UUIDs it is one.
Of permissions it is the codename that says which model is meant. What is not proved is shown
and stays as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.apps import apps
from django.db import connections, models, transaction
from django.db.models import Q

from xdbrel import content_types, keys, placement
from xdbrel.exceptions import HomeError
from xdbrel.fields.generic.key import GenericKey
from xdbrel.integrity.reading import sources, targets
from xdbrel.integrity.reading.ends import End
from xdbrel.integrity.reading.ranges import KeyRange
from xdbrel.relations import Relation

logger = logging.getLogger(__name__)

#: By alias: what each id means there, as ``app.model``.
Known = Mapping[str, Mapping[int, str]]

#: How many of the keys in question a finding spells out.
SHOWN_KEYS = 10


@dataclass
class WrongRows:
    """Rows of one field that hold one id which is not right.

    ``means`` is what the id means beside them, ``meant`` what it provably ought to mean;
    either is None where that is nothing, or not known. ``mended`` is how many rows were given
    the right id, or in a dry run would have been; ``reason`` says why others were not.
    """

    field: str
    alias: str
    id: int
    means: str | None
    meant: str | None
    rows: int
    keys: list[str]
    mended: int = 0
    reason: str = ""

    @property
    def is_mended(self) -> bool:
        return self.mended >= self.rows

    def as_dict(self) -> dict[str, Any]:
        """Return the figures by name, as JSON shows them."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Holder:
    """A field that names content types, with the key beside it, as ``GenericKey`` asks for it."""

    name: str
    model: type[models.Model]
    ct_field: str
    fk_field: str
    #: Whether a key without an object is nothing strange.
    is_log: bool = False

    @property
    def handle(self) -> str:
        return f"{self.model._meta.label}.{self.name}"

    @property
    def type_field(self) -> Any:
        return self.model._meta.get_field(self.ct_field)

    @property
    def ct_field_name(self) -> str:
        name: str = self.type_field.attname
        return name


def holders() -> Iterator[Holder]:
    """Yield the generic foreign keys of the installed models, and the admin's log."""
    from django.contrib.contenttypes.fields import GenericForeignKey

    for model in apps.get_models():
        if model._meta.proxy or model._meta.swapped:
            continue
        for field in model._meta.private_fields:
            if isinstance(field, GenericForeignKey) and not hasattr(field, "mti_inherited"):
                yield Holder(field.name, model, field.ct_field, field.fk_field)
    if apps.is_installed("django.contrib.admin"):
        log = apps.get_model("admin", "LogEntry")
        yield Holder("object_id", log, "content_type", "object_id", is_log=True)


def examine(known: Known, *, fix: bool, dry_run: bool) -> Iterator[WrongRows]:
    """Yield what rows hold wrong ids; with ``fix``, once those that are proved are mended."""
    for holder in holders():
        for using in _aliases_of(holder.model):
            for found, wanted in _of_holder(holder, using, known):
                if fix and found.meant is not None:
                    found.mended = found.rows if dry_run else _mend(holder, using, found, wanted)
                yield found
    if apps.is_installed("django.contrib.auth"):
        permission = apps.get_model("auth", "Permission")
        for using in _aliases_of(permission):
            yield from _permissions(permission, using, known, fix=fix, dry_run=dry_run)


def _aliases_of(model: type[models.Model]) -> Iterator[str]:
    for alias in placement.candidates(model):
        with connections[alias].cursor() as cursor:
            if model._meta.db_table in connections[alias].introspection.table_names(cursor):
                yield alias


def _others(number: int, beside: str, known: Known) -> dict[str, None]:
    """Return what the id means in the other databases, where that is something else."""
    own = known.get(beside, {}).get(number)
    found = (ids[number] for alias, ids in known.items() if alias != beside and number in ids)
    return dict.fromkeys(label for label in found if label != own)


def _of_holder(holder: Holder, using: str, known: Known) -> Iterator[tuple[WrongRows, list[Any]]]:
    """Yield findings, each with the keys of its rows."""
    beside = content_types.alias_for(holder.type_field, using)
    rows = holder.model._base_manager.using(using).order_by()
    for number in list(rows.values_list(holder.ct_field_name, flat=True).distinct()):
        if number is None:
            continue
        means = known.get(beside, {}).get(number)
        others = _others(number, beside, known)
        if means is not None and (holder.is_log or not others):
            # A log's objects may well be gone.
            continue
        #: By what is meant, None for what is not known, and why nothing is done about it.
        held: dict[tuple[str | None, str], dict[Any, int]] = {}
        source = _source(holder, using, number)
        for page in sources.pages(source, KeyRange()):
            for meaning, wanted in _meanings(holder, using, page.keys, means, others).items():
                held.setdefault(meaning, {}).update(sources.count(source, wanted))
        for (meant, reason), counted in held.items():
            shown = [str(key) for key in list(counted)[:SHOWN_KEYS]]
            found = WrongRows(
                holder.handle,
                using,
                number,
                means,
                meant,
                sum(counted.values()),
                shown,
                reason=reason,
            )
            yield found, list(counted)


def _meanings(
    holder: Holder, using: str, wanted: list[Any], means: str | None, others: Iterable[str]
) -> dict[tuple[str | None, str], list[Any]]:
    """Return what these keys mean; those that may be right are left out."""
    absent = _absent(holder, using, wanted, means)
    having: dict[Any, list[str]] = {key: [] for key in absent}
    for label in others if absent else ():
        lacking = set(_absent(holder, using, absent, label))
        for key in absent:
            if key not in lacking:
                having[key].append(label)
    found: dict[tuple[str | None, str], list[Any]] = {}
    for key, labels in having.items():
        if len(labels) == 1 and (means is None or _is_proof(labels[0])):
            meaning: tuple[str | None, str] = (labels[0], "")
        elif labels:
            meaning = (None, f"not proved: {' and '.join(labels)} have objects of these keys")
        elif means is None:
            meaning = (None, "no object has these keys")
        else:
            # It merely dangles: a scan finds that.
            continue
        found.setdefault(meaning, []).append(key)
    return found


def _is_proof(label: str) -> bool:
    """Tell whether no two models have objects of one key by chance."""
    return isinstance(keys.key_field(_model(label)._meta.pk), models.UUIDField)


def _absent(holder: Holder, using: str, wanted: list[Any], label: str | None) -> list[Any]:
    """Return the keys that no object of that model has; all where there is no such model."""
    model = _model(label)
    if model is None or not wanted:
        return wanted
    try:
        home = placement.home(model)
    except HomeError:
        home = using
    end = End(_relation(holder, model), model, model._meta.pk, home)
    return targets.missing(end, wanted)


def _source(holder: Holder, using: str, number: int) -> End:
    key_column: Any = holder.model._meta.get_field(holder.fk_field)
    condition = Q(**{holder.ct_field_name: number})
    relation = _relation(holder, holder.model)
    return End(relation, holder.model, key_column, using, condition)


def _relation(holder: Holder, model: type[models.Model]) -> Relation:
    key: Any = GenericKey(holder, model, models.DO_NOTHING)
    return Relation(key)


def _model(label: str | None) -> Any:
    try:
        return None if label is None else apps.get_model(label)
    except LookupError:
        return None


def _mend(holder: Holder, using: str, found: WrongRows, wanted: list[Any]) -> int:
    """Give the rows the id that their model has beside them; return how many there were."""
    beside = content_types.alias_for(holder.type_field, using)
    right = content_types.of_model(_model(found.meant), beside, concrete=False).pk
    source = _source(holder, using, found.id)
    mended = 0
    for chunk in keys.chunks(wanted, source.chunk_size()):
        with transaction.atomic(using=using):
            rows = source.rows().filter(source.holds(chunk))
            mended += rows.update(**{holder.ct_field_name: right})
    _log(found, mended)
    return mended


def _permissions(
    permission: Any, using: str, known: Known, *, fix: bool, dry_run: bool
) -> Iterator[WrongRows]:
    """Yield permissions whose codename is another model's than their content type."""
    field = permission._meta.get_field("content_type")
    beside = content_types.alias_for(field, using)
    here = {label: number for number, label in known.get(beside, {}).items()}
    rows = permission._base_manager.using(using).order_by("pk")
    held = list(rows.values_list("pk", "content_type_id", "codename"))
    taken = {(number, codename) for _, number, codename in held}
    for pk, number, codename in held:
        means = known.get(beside, {}).get(number)
        if codename in _codenames(_model(means)):
            continue
        others = _others(number, beside, known)
        labels = [label for label in others if codename in _codenames(_model(label))]
        if means is not None and not labels:
            continue  # One of the project's own.
        found = WrongRows(
            f"{permission._meta.label}.content_type",
            using,
            number,
            means,
            labels[0] if len(labels) == 1 else None,
            1,
            [codename],
        )
        if found.meant is None:
            found.reason = "the codename is no model's, or several models'"
        elif found.meant not in here:
            found.reason = f"{found.meant} has no content type in {beside!r} yet"
        elif (here[found.meant], codename) in taken:
            found.reason = "the right permission is there as well"
        elif fix:
            if not dry_run:
                rows.filter(pk=pk).update(content_type_id=here[found.meant])
                _log(found, 1)
            found.mended = 1
        yield found


def _codenames(model: Any) -> set[str]:
    if model is None:
        return set()
    meta = model._meta
    default = {f"{action}_{meta.model_name}" for action in meta.default_permissions}
    return default | {codename for codename, _ in meta.permissions}


def _log(found: WrongRows, mended: int) -> None:
    logger.info(
        "%s: %s rows in %s that held the content type %s were given that of %s",
        found.field,
        mended,
        found.alias,
        found.id,
        found.meant,
        extra={
            "action": "content_type_repointed",
            "relation": found.field,
            "alias": found.alias,
            "rows": mended,
        },
    )
