"""The many-to-many field. How it reads and writes is in ``many_descriptors``, what stands
between its sides in ``through``."""

from __future__ import annotations

from typing import Any

from django.db import models

from xdbrel.compat import with_globals
from xdbrel.fields.many_descriptors import CrossDBManyToManyDescriptor
from xdbrel.fields.through import create_through_model


class CrossDBManyToManyField(models.ManyToManyField):  # type: ignore[type-arg]
    """A many-to-many relation whose sides may live in different databases.

    Takes everything that ``ManyToManyField`` takes, and two options of its own.
    ``db_constraint`` may be given, and is always ``False``.

    ``verify``
        ``True`` checks that the objects exist whose keys are added: by one query, in their
        home. Missing ones raise ``MissingTarget`` (an ``IntegrityError``).
    ``through_home``
        The alias of the database where the rows in between are, in place of the home of
        the model that declares the field. A model given as ``through`` has a home of its own.

    The keys of the model in between are relations, ``CrossDBForeignKey``: their handles are
    ``app.Model_field.model``, as in ``blog.Post_fans.user``.
    """

    #: The mark by which ``xdbrel.relations`` knows that this leads to its target.
    leads_by_through = True

    def __init__(
        self,
        to: Any,
        *args: Any,
        verify: bool = False,
        through_home: str | None = None,
        **kwargs: Any,
    ) -> None:
        self.verify = verify
        self.through_home = through_home
        super().__init__(to, *args, **kwargs)
        self.remote_field.db_constraint = False

    contribute_to_class = with_globals(
        models.ManyToManyField.contribute_to_class,
        create_many_to_many_intermediary_model=create_through_model,
        ManyToManyDescriptor=CrossDBManyToManyDescriptor,
    )
    contribute_to_related_class = with_globals(
        models.ManyToManyField.contribute_to_related_class,
        ManyToManyDescriptor=CrossDBManyToManyDescriptor,
    )

    @property
    def non_db_attrs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The options that a migration changes without touching the table."""
        return (*super().non_db_attrs, "verify", "through_home")

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs.pop("db_constraint", None)
        if self.verify:
            kwargs["verify"] = True
        if self.through_home is not None:
            kwargs["through_home"] = self.through_home
            through: Any = self.remote_field.through
            if through is not None and not isinstance(through, str):
                # In migrations it is a model like any other, which routers place.
                kwargs["through"] = through._meta.label
                kwargs.pop("db_table", None)
        if path.startswith("xdbrel.fields."):
            path = "xdbrel." + path.rpartition(".")[2]
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        # Backends and other packages know Django's own field by this name.
        return "ManyToManyField"
