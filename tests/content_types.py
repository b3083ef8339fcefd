"""Tables of content types in other databases than ``default``, where their ids differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections


@contextmanager
def made(*aliases: str) -> Iterator[None]:
    """Make the tables in these databases for a block, where each id means another model."""
    for number, alias in enumerate(aliases, 1):
        with connections[alias].schema_editor() as editor:
            editor.create_model(ContentType)
        fill(alias, number)
    yield
    for alias in aliases:
        with connections[alias].schema_editor() as editor:
            editor.delete_model(ContentType)


def fill(alias: str, shift: int) -> None:
    """Give the model that is ``shift`` further on the id that a model has in ``default``."""
    known = list(ContentType.objects.using("default").order_by("pk"))
    if not known:
        labels = sorted(model._meta.label_lower.split(".") for model in apps.get_models())
        known = [ContentType(n, *label) for n, label in enumerate(labels, 1)]
    ContentType.objects.using(alias).bulk_create(
        ContentType(
            pk=one.pk,
            app_label=known[(place + shift) % len(known)].app_label,
            model=known[(place + shift) % len(known)].model,
        )
        for place, one in enumerate(known)
    )
    connection = connections[alias]
    with connection.cursor() as cursor:
        for sql in connection.ops.sequence_reset_sql(no_style(), [ContentType]):
            cursor.execute(sql)
