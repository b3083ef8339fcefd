"""Content types in every database: which there are, which differ, which are missing or stale.

Owns the survey, and the creation of those that are missing. Rows that hold ids of another
database's are for ``type_rows``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.apps import apps
from django.db import connections, router, transaction

from xdbrel import content_types, placement
from xdbrel.caching import uncached
from xdbrel.integrity import type_rows
from xdbrel.integrity.type_rows import WrongRows

logger = logging.getLogger(__name__)


@dataclass
class TypesReport:
    """What was found of content types, and what was done about it.

    ``ids`` has the id of each content type, by label (``app.model``) and alias; ``missing``
    and ``stale`` are pairs of alias and label. ``fixed`` tells whether what is safe was
    mended, ``dry_run`` that it would have been.
    """

    aliases: list[str] = field(default_factory=list)
    ids: dict[str, dict[str, int]] = field(default_factory=dict)
    missing: list[tuple[str, str]] = field(default_factory=list)
    stale: list[tuple[str, str]] = field(default_factory=list)
    rows: list[WrongRows] = field(default_factory=list)
    fixed: bool = False
    dry_run: bool = False

    @property
    def differing(self) -> list[str]:
        """The labels whose ids are not the same in every database; no finding by itself."""
        return [label for label, ids in self.ids.items() if len(set(ids.values())) > 1]

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left that ought to be looked at."""
        mended = self.fixed and not self.dry_run
        return (
            not self.stale
            and (mended or not self.missing)
            and all(mended and one.is_mended for one in self.rows)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return what the command hands out as JSON."""
        return {
            "databases": self.aliases,
            "content_types": [
                {"label": label, "ids": ids, "differs": label in set(self.differing)}
                for label, ids in self.ids.items()
            ],
            "missing": [{"alias": alias, "label": label} for alias, label in self.missing],
            "stale": [{"alias": alias, "label": label} for alias, label in self.stale],
            "rows": [one.as_dict() for one in self.rows],
            "fixed": self.fixed,
            "dry_run": self.dry_run,
            "clean": self.is_clean,
        }


def examine(*, fix: bool = False, dry_run: bool = False) -> TypesReport:
    """Look at the content types of every database, and at the rows that name them.

    With ``fix`` missing ones are created, and rows whose id provably means another model are
    given the id of that one; in a ``dry_run`` nothing is written. What is stale stays: Django's
    ``remove_stale_contenttypes`` deletes it, with what hangs on it. Raises what the databases
    raise.
    """
    report = TypesReport(fixed=fix, dry_run=dry_run)
    installed = {model._meta.label_lower for model in apps.get_models()}
    by_alias: dict[str, dict[int, str]] = {}
    with uncached():
        for alias in aliases():
            by_alias[alias] = known = _known(alias)
            report.aliases.append(alias)
            labels = set(known.values())
            report.missing += [(alias, label) for label in sorted(installed - labels)]
            report.stale += [(alias, label) for label in sorted(labels - installed)]
        if fix and not dry_run:
            for alias, label in report.missing:
                by_alias[alias][_create(alias, label)] = label
        for alias, known in by_alias.items():
            for number, label in known.items():
                report.ids.setdefault(label, {})[alias] = number
        report.ids = dict(sorted(report.ids.items()))
        report.rows = list(type_rows.examine(by_alias, fix=fix, dry_run=dry_run))
    return report


def aliases() -> Iterator[str]:
    """Yield the aliases with a table of content types, one for each database."""
    types = content_types.model()
    seen: list[str] = []
    for alias in connections:
        if (
            not placement.is_configured(alias)
            or placement.primary(alias) != alias
            or not router.allow_migrate_model(alias, types)
            or any(placement.same_home(alias, one) for one in seen)
        ):
            continue
        with connections[alias].cursor() as cursor:
            tables = connections[alias].introspection.table_names(cursor)
        if types._meta.db_table in tables:
            seen.append(alias)
            yield alias


def _known(alias: str) -> dict[int, str]:
    rows = content_types.model()._default_manager.using(alias).order_by("pk")
    found: Mapping[int, str] = {
        pk: f"{app_label}.{name}"
        for pk, app_label, name in rows.values_list("pk", "app_label", "model")
    }
    return dict(found)


def _create(alias: str, label: str) -> int:
    with transaction.atomic(using=alias):
        number: int = content_types.of_model(apps.get_model(label), alias, concrete=False).pk
    logger.info(
        "Created the content type %s in %s as %s",
        label,
        alias,
        number,
        extra={"action": "content_type_created", "relation": label, "alias": alias},
    )
    return number
