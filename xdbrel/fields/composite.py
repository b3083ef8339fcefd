"""The field over several columns. How it reads is in ``descriptors``, how it deletes in
``on_delete``, what its key is to queries in ``key``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist, FieldError, ValidationError
from django.db import models
from django.db.models.fields.mixins import NOT_PROVIDED
from django.utils.text import capfirst

from xdbrel import keys, placement
from xdbrel.caching import uncached
from xdbrel.fields import descriptors, rels
from xdbrel.fields.choices import CompositeModelChoiceField
from xdbrel.fields.key import CompositeKey, of_columns
from xdbrel.fields.on_delete import ClearColumns
from xdbrel.fields.relation import CrossDBRelationMixin, public_path
from xdbrel.relations import handle_of

#: What may follow when a target's key changes: a sources' column may be another relation's too.
ON_UPDATE = (models.PROTECT, models.DO_NOTHING)


class CrossDBCompositeForeignKey(CrossDBRelationMixin, models.ForeignObject):  # type: ignore[type-arg]
    """A relation over several columns, whose target may live in another database.

    It adds no column: ``from_fields`` are fields of the model, as ``ForeignKey.to_field`` names
    one of the target. A row that holds NULL in any of them is related to nothing, which is
    SQL's MATCH SIMPLE. ``<name>_key`` is the tuple of their values, in instances and in queries.

    ``to``, ``on_delete``, ``related_name``, ``related_query_name``, ``limit_choices_to``
        As of Django's ``ForeignKey``. ``SET_NULL`` clears those of ``from_fields`` that may be
        NULL; ``SET_DEFAULT`` and ``SET()`` are refused by a check.
    ``from_fields``, ``to_fields``
        The names of the fields to compare, in the same order. Those of the target have to be
        unique together; without any they are its ``CompositePrimaryKey``.
    ``verify``, ``dangling``
        As of ``CrossDBForeignKey``.
    ``on_update``
        ``models.PROTECT`` (a key does not change while there are sources, by ``KeyInUse``) or
        ``models.DO_NOTHING``.

    Raises ``ValueError`` where ``from_fields`` are fewer than two, or not as many as
    ``to_fields``, or an option is none of these.
    """

    rel_class = rels.CompositeRel
    related_accessor_class = descriptors.CrossDBReverseManyToOneDescriptor
    forward_related_accessor_class = descriptors.CrossDBForwardCompositeDescriptor

    masked = False
    #: Schema editors ask every relation.
    db_constraint = False

    def __init__(
        self,
        to: Any,
        on_delete: Callable[..., None],
        from_fields: Sequence[str],
        to_fields: Sequence[str] | None = None,
        *,
        verify: bool = False,
        dangling: str = "raise",
        on_update: Any = models.PROTECT,
        **kwargs: Any,
    ) -> None:
        kind = type(self).__name__
        if isinstance(from_fields, str) or len({*from_fields}) < max(2, len(from_fields)):
            raise ValueError(f"{kind}: from_fields must name two different fields or more.")
        if isinstance(to_fields, str) or (to_fields and len(to_fields) != len(from_fields)):
            raise ValueError(f"{kind}: to_fields must name as many fields as from_fields.")
        if on_update not in ON_UPDATE:
            raise ValueError(
                f"{kind}: on_update must be models.PROTECT or models.DO_NOTHING, not "
                f"{on_update!r}."
            )
        self._refuse_dangling(dangling)
        self.verify = verify
        self.dangling = dangling
        self.on_update = on_update
        #: As they were given; ``to_fields`` are known with the target.
        self.given_to_fields = tuple(to_fields) if to_fields else None
        kwargs.setdefault("serialize", False)
        super().__init__(
            to,
            on_delete,
            from_fields=tuple(from_fields),
            to_fields=self.given_to_fields or (),
            **kwargs,
        )
        if dangling == "none":
            self.forward_related_accessor_class = (
                descriptors.CrossDBForwardCompositeOrNoneDescriptor
            )

    @property
    def non_db_attrs(self) -> tuple[str, ...]:  # type: ignore[override]
        """The options that a migration changes without touching the table: all of them."""
        own = ("from_fields", "to_fields", "verify", "dangling", "on_update")
        return (*super().non_db_attrs, *own)

    def deconstruct(self) -> Any:
        name, path, args, kwargs = super().deconstruct()
        kwargs["on_delete"] = self.policy
        kwargs["from_fields"] = self.from_fields
        kwargs.pop("to_fields", None)
        if self.given_to_fields is not None:
            kwargs["to_fields"] = self.given_to_fields
        for option in ("null", "serialize"):
            kwargs.pop(option, None)
        if self.verify:
            kwargs["verify"] = True
        if self.dangling != "raise":
            kwargs["dangling"] = self.dangling
        if self.on_update is not models.PROTECT:
            kwargs["on_update"] = self.on_update
        return name, public_path(path), args, kwargs

    @property
    def policy(self) -> Callable[..., None]:
        policy = super().policy
        return models.SET_NULL if isinstance(policy, ClearColumns) else policy

    # The columns.

    def get_attname(self) -> str:
        return f"{self.name}_key"

    def contribute_to_class(
        self, cls: type[models.Model], name: str, private_only: bool = False, **kwargs: Any
    ) -> None:
        super().contribute_to_class(cls, name, private_only=private_only, **kwargs)
        if not cls._meta.abstract:
            CompositeKey(*self.from_fields).contribute_to_class(cls, self.attname)

    def contribute_to_related_class(self, cls: type[models.Model], related: Any) -> None:
        super().contribute_to_related_class(cls, related)
        if self.given_to_fields is not None and all(
            _has_field(cls, name) for name in self.given_to_fields
        ):
            # The target's rows are found by it, which a query has to know by then.
            of_columns(cls._meta.concrete_model or cls, self.given_to_fields)

    @property  # type: ignore[override]
    def to_fields(self) -> Sequence[str]:
        """The names of the target's fields: as given, or those of its primary key."""
        if self.given_to_fields is not None:
            return self.given_to_fields
        target = self.remote_field.model
        if isinstance(target, str):
            return ()
        return tuple(getattr(target._meta.pk, "field_names", ()))

    @to_fields.setter
    def to_fields(self, names: Sequence[str]) -> None:
        # A migration that renames one of them sets them anew.
        if names:
            self.given_to_fields = tuple(names)

    @property
    def is_known(self) -> bool:
        """Whether all the columns are there, as many on both sides; else a check says so."""
        target = self.remote_field.model
        return len(self.to_fields) == len(self.from_fields) and all(
            _has_field(model, name)
            for model, names in ((self.model, self.from_fields), (target, self.to_fields))
            for name in names
        )

    @property
    def target_field(self) -> Any:
        """The field of the target whose values are this one's keys: tuples."""
        if isinstance(self.remote_field.model, str) or not self.is_known:
            raise FieldError(f"{handle_of(self)}: some of its columns are not there.")
        return of_columns(self.remote_field.model._meta.concrete_model, self.to_fields)

    @property
    def columns_to_clear(self) -> list[Any]:
        """The columns by which sources lose their key: those that may be NULL, if any may."""
        columns = self.local_related_fields
        return [column for column in columns if column.null] or list(columns)

    @property
    def null(self) -> bool:
        """Whether a row may be related to nothing: whether any of the columns may be NULL.

        In a migration nothing keeps it from being added to rows that there are: nobody is asked
        for a default, and SQLite's table is not made anew.
        """
        model = self.__dict__.get("model")
        if model is None or model.__module__ == "__fake__":
            return True
        return any(
            model._meta.get_field(name).null
            for name in self.from_fields
            if _has_field(model, name)
        )

    @null.setter
    def null(self, value: bool) -> None:
        """Leave it to the columns: ``Field.__init__()`` sets what it is given."""

    # Instances.

    def get_cached_value(self, instance: models.Model, default: Any = NOT_PROVIDED) -> Any:
        value = super().get_cached_value(instance, default)
        if isinstance(value, models.Model) and self._is_stale(instance, value):
            if default is NOT_PROVIDED:
                raise KeyError(self.cache_name)
            return default
        return value

    def is_cached(self, instance: models.Model) -> bool:
        if not super().is_cached(instance):
            return False
        value = instance._state.fields_cache[self.cache_name]
        return not (isinstance(value, models.Model) and self._is_stale(instance, value))

    def _is_stale(self, instance: models.Model, value: models.Model) -> bool:
        """Tell whether a column was given another value since: that of another target."""
        return bool(
            self.get_foreign_related_value(value) != self.get_local_related_value(instance)
        )

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """Return the key; raise ``ValidationError`` where it has no target in its home."""
        if model_instance is None or not self.has_key(model_instance):
            return value
        target: Any = self.remote_field.model
        alias = placement.home(target, instance=model_instance)
        key = self.key_of(model_instance)
        with uncached():
            rows = target._base_manager.using(alias).filter(
                keys.KeyIn(models.F(self.target_field.attname), [key])
            )
            if not rows.complex_filter(self.get_limit_choices_to()).exists():
                raise ValidationError(
                    models.ForeignKey.default_error_messages["invalid"],
                    code="invalid",
                    params={
                        "model": target._meta.verbose_name,
                        "pk": key,
                        "field": ", ".join(self.to_fields),
                        "value": key,
                    },
                )
        return value

    def formfield(self, **kwargs: Any) -> Any:
        """Return a choice among the targets, for forms to declare by this field's name.

        ``using`` names a database as for ``ForeignKey.formfield()``; the others are the form
        field's own arguments.
        """
        using = kwargs.pop("using", None)
        form_class = kwargs.pop("form_class", CompositeModelChoiceField)
        return form_class(
            **{
                "queryset": self.remote_field.model._default_manager.using(using),
                "relation": self,
                "limit_choices_to": self.remote_field.limit_choices_to,
                "required": not self.blank,
                "label": capfirst(self.verbose_name),
                "help_text": self.help_text,
                **kwargs,
            }
        )

    # Checks that are Django's, of fields that may be those of a primary key.

    def _check_to_fields_composite_pk(self) -> list[Any]:
        # That is what this field is for.
        return []

    def _check_unique_target(self) -> list[Any]:
        if not self.is_known:
            return []  # One of ours says so, or another of Django's.
        found: list[Any] = super()._check_unique_target()  # type: ignore[misc]
        return found

    def resolve_related_fields(self) -> list[tuple[Any, Any]]:
        if not isinstance(self.remote_field.model, str) and not self.is_known:
            # A check says so; nothing is related.
            return []
        pairs: list[tuple[Any, Any]] = super().resolve_related_fields()
        return pairs

    @cached_property
    def related_fields(self) -> list[tuple[Any, Any]]:
        return self.resolve_related_fields()


def _has_field(model: type[models.Model], name: str) -> bool:
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return False
    return True
