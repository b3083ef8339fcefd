"""The two fields. How they read is in ``descriptors`` and ``masking``, how they delete in
``on_delete``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper

from xdbrel import placement
from xdbrel.caching import uncached
from xdbrel.compat import with_globals
from xdbrel.exceptions import HomeError
from xdbrel.fields import descriptors, masking, rels
from xdbrel.fields.relation import CrossDBRelationMixin, public_path
from xdbrel.fields.verify import SavedKey, verify_statement


class _HomeForReads:
    """What ``ForeignKey.validate()`` sees as the router: a replica may not have the row yet."""

    @staticmethod
    def db_for_read(model: type[models.Model], *, instance: models.Model | None) -> str:
        return placement.home(model, instance=instance)


_validate = with_globals(models.ForeignKey.validate, router=_HomeForReads)


#: What may follow when the key of a target changes.
ON_UPDATE = (models.PROTECT, models.CASCADE, models.DO_NOTHING)


class CrossDBForeignKey(CrossDBRelationMixin, models.ForeignKey):  # type: ignore[type-arg]
    """A foreign key whose target may live in another database.

    Takes everything that ``ForeignKey`` takes, Django's own ``on_delete`` included, and four
    options of its own. ``db_constraint`` may be given, as to any ``ForeignKey``, and is
    always ``False``: no database can enforce a relation to another one.

    ``verify``
        ``True`` checks that the targets exist whenever keys are written: in ``save()``,
        ``bulk_create()``, ``bulk_update()`` and ``update()``, by one query per statement
        in the target's home. Missing ones raise ``MissingTarget`` (an ``IntegrityError``).
    ``dangling``
        What reading a key without a target row gives, on every path: ``"raise"`` (a
        ``RelatedObjectDoesNotExist`` that names relation, key and database) or
        ``"none"`` (``None``).
    ``on_update``
        What follows when the key of a target changes: ``models.PROTECT`` (the change is
        refused while there are sources, by ``KeyInUse``, an ``IntegrityError``),
        ``models.CASCADE`` (sources get the new key) or ``models.DO_NOTHING``.
    ``masked``
        ``True`` hides the sources of a deleted target until its cascade has been applied:
        the reverse manager does not give them, and reading their keys does what
        ``dangling`` says. Whether the target lives is asked in its home, uncached.

    Raises ``ValueError`` where ``dangling`` or ``on_update`` is none of these.
    """

    rel_class = rels.ManyToOneRel
    related_accessor_class = descriptors.CrossDBReverseManyToOneDescriptor
    forward_related_accessor_class = descriptors.CrossDBForwardManyToOneDescriptor
    _or_none_accessor_class: type[Any] = descriptors.CrossDBForwardManyToOneOrNoneDescriptor
    _masked_accessor_class: type[Any] = masking.MaskedReverseManyToOneDescriptor
    _masked_forward_accessor_class: type[Any] = masking.MaskedForwardManyToOneDescriptor
    _masked_or_none_forward_accessor_class: type[Any] = (
        masking.MaskedForwardManyToOneOrNoneDescriptor
    )

    def __init__(
        self,
        to: Any,
        on_delete: Callable[..., None],
        related_name: str | None = None,
        related_query_name: str | None = None,
        limit_choices_to: Any = None,
        parent_link: bool = False,
        to_field: str | None = None,
        db_constraint: bool = False,
        *,
        verify: bool = False,
        dangling: str = "raise",
        on_update: Any = models.PROTECT,
        masked: bool = False,
        **kwargs: Any,
    ) -> None:
        if on_update not in ON_UPDATE:
            raise ValueError(
                f"{type(self).__name__}: on_update must be models.PROTECT, models.CASCADE or "
                f"models.DO_NOTHING, not {on_update!r}."
            )
        self._refuse_dangling(dangling)
        self.verify = verify
        self.dangling = dangling
        self.on_update = on_update
        self.masked = masked
        super().__init__(
            to,
            on_delete,
            related_name=related_name,
            related_query_name=related_query_name,
            limit_choices_to=limit_choices_to,
            parent_link=parent_link,
            to_field=to_field,
            db_constraint=False,
            **kwargs,
        )
        if masked:
            self.related_accessor_class = self._masked_accessor_class
            self.forward_related_accessor_class = (
                self._masked_or_none_forward_accessor_class
                if dangling == "none"
                else self._masked_forward_accessor_class
            )
        elif dangling == "none":
            self.forward_related_accessor_class = self._or_none_accessor_class

    @property
    def non_db_attrs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The options that a migration changes without touching the table."""
        return (*super().non_db_attrs, "verify", "dangling", "on_update", "masked")

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs["on_delete"] = self.policy
        kwargs.pop("db_constraint", None)
        if self.verify:
            kwargs["verify"] = True
        if self.dangling != "raise":
            kwargs["dangling"] = self.dangling
        if self.on_update is not models.PROTECT:
            kwargs["on_update"] = self.on_update
        if self.masked:
            kwargs["masked"] = True
        return name, public_path(path), args, kwargs

    def get_internal_type(self) -> str:
        # Backends and other packages know Django's own fields by this name.
        return "ForeignKey"

    def db_parameters(self, connection: BaseDatabaseWrapper) -> Any:
        parameters = super().db_parameters(connection)
        if parameters.get("collation") and not self._shares_vendor(connection):
            # The target's collation is a name of the target's database.
            parameters["collation"] = None
        return parameters

    def _shares_vendor(self, connection: BaseDatabaseWrapper) -> bool:
        try:
            alias = placement.home(self.remote_field.model)
        except HomeError:
            return True
        return bool(connections[alias].vendor == connection.vendor)

    def validate(self, value: Any, model_instance: models.Model | None) -> None:
        with uncached():
            _validate(self, value, model_instance)

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if self.verify and not add and not hasattr(value, "resolve_expression"):
            return SavedKey(value, model_instance)
        return value

    # Django asks every field whether it has these two, and gives up its faster paths
    # where one does, so only a field that verifies shows them. 5.2 knows the first, 6.1
    # the second.

    @property
    def get_placeholder(self) -> Callable[..., str]:
        if not self.verify:
            raise AttributeError("get_placeholder")
        return self._placeholder

    @property
    def get_placeholder_sql(self) -> Callable[..., tuple[str, list[Any]]]:
        if not self.verify:
            raise AttributeError("get_placeholder_sql")
        return self._placeholder_sql

    def _placeholder(self, value: Any, compiler: Any, connection: BaseDatabaseWrapper) -> str:
        verify_statement(self, compiler)
        return "%s"

    def _placeholder_sql(
        self, value: Any, compiler: Any, connection: BaseDatabaseWrapper
    ) -> tuple[str, list[Any]]:
        verify_statement(self, compiler)
        if hasattr(value, "as_sql"):
            sql, params = compiler.compile(value)
            return sql, list(params)
        return "%s", [value]


class CrossDBOneToOneField(CrossDBForeignKey, models.OneToOneField):  # type: ignore[type-arg]
    """A one-to-one relation whose target may live in another database.

    As ``CrossDBForeignKey``, unique, and with a single object at the reverse side.
    """

    rel_class = rels.OneToOneRel  # type: ignore[assignment]
    related_accessor_class = descriptors.CrossDBReverseOneToOneDescriptor  # type: ignore[assignment]
    forward_related_accessor_class = descriptors.CrossDBForwardOneToOneDescriptor
    _or_none_accessor_class = descriptors.CrossDBForwardOneToOneOrNoneDescriptor
    _masked_accessor_class = masking.MaskedReverseOneToOneDescriptor
    _masked_forward_accessor_class = masking.MaskedForwardOneToOneDescriptor
    _masked_or_none_forward_accessor_class = masking.MaskedForwardOneToOneOrNoneDescriptor

    def __init__(
        self,
        to: Any,
        on_delete: Callable[..., None],
        to_field: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(to, on_delete, to_field=to_field, **kwargs)

    def get_internal_type(self) -> str:
        return "OneToOneField"
