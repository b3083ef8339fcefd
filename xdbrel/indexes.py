"""An index over part of a table where the database has such, over all of it elsewhere."""

from __future__ import annotations

from typing import Any

from django.db import models


class PartialIndex(models.Index):
    """An index with a condition that MariaDB and MySQL leave out.

    Django's own conditional index is not made there at all, and warns; a claim must find
    its rows by an index on every database.
    """

    def __init__(self, *expressions: Any, where: models.Q, **kwargs: Any) -> None:
        super().__init__(*expressions, **kwargs)
        self.where = where

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if not schema_editor.connection.features.supports_partial_indexes:
            return super().create_sql(model, schema_editor, using=using, **kwargs)
        partial = models.Index(fields=self.fields, name=self.name, condition=self.where)
        return partial.create_sql(model, schema_editor, using=using, **kwargs)

    def deconstruct(self) -> Any:
        path, expressions, kwargs = super().deconstruct()
        return path, expressions, {**kwargs, "where": self.where}
