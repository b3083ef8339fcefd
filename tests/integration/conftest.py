"""What several folders share: further aliases, and content types that differ by database."""

import pytest
from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.management.color import no_style
from django.db import connections

from tests.aliases import aliases

__all__ = ["aliases"]

ROUTERS = "tests.integration.generic.routers_for_tests"
HOME = "xdbrel.routers.HomeRouter"


@pytest.fixture(scope="session")
def tables_of_types(django_db_setup, django_db_blocker):
    """Tables of content types in ``blog`` and ``shop``, where each id means another model."""
    made = []
    with django_db_blocker.unblock():
        for number, alias in enumerate(("blog", "shop"), 1):
            connection = connections[alias]
            with connection.schema_editor() as editor:
                editor.create_model(ContentType)
            made.append(alias)
            fill(alias, number)
    yield
    with django_db_blocker.unblock():
        for alias in made:
            with connections[alias].schema_editor() as editor:
                editor.delete_model(ContentType)


def fill(alias, shift):
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


@pytest.fixture
def types_everywhere(tables_of_types, settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.TypesEverywhere", HOME]
    ContentType.objects.clear_cache()
    yield
    ContentType.objects.clear_cache()


@pytest.fixture
def types_in_shop(tables_of_types, settings):
    settings.DATABASE_ROUTERS = [f"{ROUTERS}.TypesInShop", HOME]
