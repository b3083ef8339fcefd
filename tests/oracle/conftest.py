"""The database ``whole``, for as long as this folder's tests run.

It is no alias of the settings: every other test that goes through all databases would meet
one more, and empty it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.conf import settings
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import override_settings

from tests.apps.parted.models import Order
from tests.apps.parted.routers import WHOLE
from tests.oracle.twins import APPS, TWINS

#: The order of rows in another database, which is nothing that a check lets pass.
ORDERING = ["author__name", "id"]


@pytest.fixture(scope="package", autouse=True)
def whole(django_db_setup: None, tables_of_types: None, django_db_blocker: Any) -> Iterator[None]:
    """A database of the engine of ``default`` that has every table of the twins."""
    routers = ["tests.apps.parted.routers.WholeRouter", *settings.DATABASE_ROUTERS]
    connections.settings[WHOLE] = beside(connections["default"])
    creation = connections[WHOLE].creation
    with (
        override_settings(DATABASE_ROUTERS=routers),
        mock.patch.object(Order._meta, "ordering", ORDERING),
        mock.patch.object(TWINS["Order"]._meta, "ordering", ORDERING),
        django_db_blocker.unblock(),
    ):
        creation.create_test_db(verbosity=0, autoclobber=True)
        with connections[WHOLE].schema_editor() as editor:
            for model in APPS.get_models():
                editor.create_model(model)
        yield
        creation.destroy_test_db(verbosity=0)
    # SQLite's own close() spares databases in memory.
    BaseDatabaseWrapper.close(connections[WHOLE])
    del connections[WHOLE], connections.settings[WHOLE]


def beside(connection: BaseDatabaseWrapper) -> dict[str, Any]:
    """Return the settings of another database where that of ``connection`` is."""
    configured = connection.settings_dict
    name = None
    if connection.vendor != "sqlite":
        name = configured["NAME"].replace(connection.alias, WHOLE)
    test = {**configured["TEST"], "NAME": name, "MIGRATE": False}
    return {**configured, "NAME": name or ":memory:", "TEST": test}
