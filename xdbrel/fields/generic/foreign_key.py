"""The forward side of a generic relation: ``Note.about`` of the example, and its accessor.

The content type that a row names is the one with that id beside the row itself (see
``xdbrel.content_types``); what it says is a model, and the model's home is where the target
is looked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.db.models import CompositePrimaryKey

from xdbrel import content_types, keys, placement
from xdbrel.compat import fetch_related, generic_accessor_base
from xdbrel.fields.descriptors import placed_queryset
from xdbrel.fields.fetch import Groups, fetch
from xdbrel.fields.generic.key import GenericKey, SourceTarget, as_key_of

_AccessorBase: Any = generic_accessor_base()


class CrossDBGenericForeignKey(GenericForeignKey):
    """A generic foreign key whose targets may live in other databases.

    Takes what ``GenericForeignKey`` takes: ``ct_field``, ``fk_field`` and
    ``for_concrete_model``. The content type's field is a ``ForeignKey`` where content types
    stand beside the rows, else a ``CrossDBForeignKey``. As in Django, a key whose target is
    gone reads ``None``, on every path; so does one whose content type has no model any more.
    """

    #: The mark by which ``xdbrel.relations`` knows the fields.
    crosses_generically = True

    def contribute_to_class(  # type: ignore[override]
        self, cls: type[models.Model], name: str, **kwargs: Any
    ) -> None:
        # A copy in a child of the model begins anew.
        self._keys: dict[type[models.Model], GenericKey] = {}
        super().contribute_to_class(cls, name, **kwargs)
        setattr(cls, self.attname, CrossDBGenericForeignKeyDescriptor(self))

    def deconstruct(self) -> Any:
        kwargs: dict[str, Any] = {}
        if self.ct_field != "content_type":
            kwargs["ct_field"] = self.ct_field
        if self.fk_field != "object_id":
            kwargs["fk_field"] = self.fk_field
        if not self.for_concrete_model:
            kwargs["for_concrete_model"] = False
        return self.name, f"xdbrel.{type(self).__name__}", [], kwargs

    @property
    def type_field(self) -> Any:
        """The field that names the content type."""
        return self.model._meta.get_field(self.ct_field)

    @property
    def ct_field_name(self) -> str:
        """The name of the column's value on an instance."""
        name: str = self.type_field.attname
        return name

    @property
    def declared_keys(self) -> Iterator[GenericKey]:
        """The parts that lead to models with a ``CrossDBGenericRelation``."""
        return iter(self._keys.values())

    def key_to(self, target: type[models.Model]) -> GenericKey:
        """Return the part that leads to ``target``, whether or not that declares it."""
        found = self._keys.get(target)
        return GenericKey(self, target, models.DO_NOTHING) if found is None else found

    def declare(self, target: type[models.Model]) -> GenericKey:
        """Return the part that leads to ``target``, which declares it."""
        if target not in self._keys:
            key = self._keys[target] = GenericKey(self, target, models.CASCADE)
            setattr(self.model, key.name, SourceTarget(self))
        return self._keys[target]

    def get_content_type(
        self,
        obj: Any = None,
        id: Any = None,
        using: str | None = None,
        model: Any = None,
    ) -> Any:
        """Return a content type that rows on ``using`` name, of an object, an id or a model.

        Without ``using``, those at home; as ever ``obj`` is the target, and a hint.
        """
        beside = obj if isinstance(obj, models.Model) else None
        alias = content_types.alias_for(self.type_field, using, beside=beside)
        if obj is None and model is None:
            return content_types.of_id(id, alias)
        target = model if obj is None else obj
        return content_types.of_model(target, alias, concrete=self.for_concrete_model)

    def get_forward_related_filter(self, obj: models.Model) -> dict[str, Any]:
        return {self.fk_field: obj.pk, self.ct_field: self.get_content_type(obj=obj).pk}

    def target_of(self, instance: models.Model) -> tuple[Any, Any]:
        """Return model and key of an instance's target; None where it has or may have none."""
        number = getattr(instance, self.ct_field_name, None)
        if number is None:
            return None, None
        model = self.get_content_type(id=number, using=instance._state.db).model_class()
        if model is None:
            return None, None
        return model, as_key_of(model._meta.pk, getattr(instance, self.fk_field))

    def typed(self, target: Any) -> type[models.Model]:
        """Return the model whose content type instances name for ``target``."""
        return content_types.typed(target, concrete=self.for_concrete_model)

    def models_of(self, instances: Iterable[models.Model]) -> list[type[models.Model]]:
        """Return the models of the instances' targets, each once."""
        targets = _Targets(self)
        found = dict.fromkeys(targets.of(instance)[0] for instance in instances)
        return [model for model in found if model is not None]

    def translate(self, instances: Iterable[models.Model], using: str) -> None:
        """Let instances name content types by the ids of the database they are written to."""
        field = self.type_field
        after: str | None = None
        for instance in instances:
            number = instance.__dict__.get(self.ct_field_name)
            if number is None or hasattr(number, "resolve_expression"):
                continue
            held = field.get_cached_value(instance, default=None)
            if held is not None and held._state.db:
                before = placement.primary(held._state.db)
            elif instance._state.db:
                before = content_types.alias_for(field, instance._state.db)
            else:
                continue
            if after is None:
                after = content_types.alias_for(field, using)
            if not placement.same_home(before, after):
                self._rename(instance, number, before, after)

    def _rename(self, instance: models.Model, number: Any, before: str, after: str) -> None:
        """Let an instance name by the ids of ``after`` what is ``number`` in ``before``."""
        try:
            found = content_types.of_id(number, before)
        except ContentType.DoesNotExist:
            return
        model = found.model_class()
        if model is not None:
            _name_type(self, instance, content_types.of_model(model, after, concrete=False))


class CrossDBGenericForeignKeyDescriptor(_AccessorBase):  # type: ignore[misc]
    """
    Accessor to the related object of a generic foreign key.

    In the example, ``Note.about`` is a ``CrossDBGenericForeignKeyDescriptor`` instance.
    """

    def __init__(self, field: CrossDBGenericForeignKey) -> None:
        self.field = field

    def is_cached(self, instance: models.Model) -> bool:
        return bool(self.field.is_cached(instance))

    def __get__(self, instance: Any, cls: type | None = None) -> Any:
        if instance is None:
            return self
        field = self.field
        if field.is_cached(instance):
            held = field.get_cached_value(instance)
            if held is None or self._is_meant(instance, held):
                return held
            field.delete_cached_value(instance)
        fetch_related(self, instance)
        return field.get_cached_value(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        field = self.field
        if value is None:
            setattr(instance, field.ct_field, None)
            setattr(instance, field.fk_field, None)
        else:
            if instance._state.db is None:
                instance._state.db = placement.home(instance.__class__, instance=value)
            found = field.get_content_type(obj=value, using=instance._state.db)
            _name_type(field, instance, found)
            setattr(instance, field.fk_field, value.pk)
        field.set_cached_value(instance, value)

    def fetch_one(self, instance: Any) -> None:
        found = None
        model, key = self.field.target_of(instance)
        if key is not None:
            with suppress(ObjectDoesNotExist):
                found = placed_queryset(model, instance).get(pk=key)
        self.field.set_cached_value(instance, found)

    def get_prefetch_querysets(
        self, instances: Sequence[Any], querysets: Sequence[Any] | None = None
    ) -> tuple[Any, ...]:
        field = self.field
        given = self._by_type(querysets or ())
        targets = _Targets(field)
        by_model: dict[Any, list[Any]] = {}
        for instance in instances:
            model, key = targets.of(instance)
            if key is not None:
                by_model.setdefault(model, []).append(instance)
        rows: list[Any] = []
        matching: dict[Any, Any] = {}
        #: By identity: a manager may make rows of several classes.
        model_of_row: dict[int, Any] = {}
        for model, members in by_model.items():
            queryset = given.get(field.typed(model))
            found, matching[model] = _rows_of(model, members, queryset, targets)
            # Django follows the lookups of one queryset, and here there are several.
            found._prefetch_related_objects()
            model_of_row.update((id(row), model) for row in found)
            rows.extend(found)

        def key_of_row(row: Any) -> Any:
            model = model_of_row[id(row)]
            return model, *matching[model][0](row)

        def key_of_instance(instance: Any) -> Any:
            model, key = targets.of(instance)
            return None if key is None else (model, *matching[model][1](instance))

        return rows, key_of_row, key_of_instance, True, field.cache_name, False

    def _by_type(self, querysets: Iterable[Any]) -> dict[Any, Any]:
        """Return the querysets of a ``GenericPrefetch`` by the model that content types name."""
        found: dict[Any, Any] = {}
        for queryset in querysets:
            model = self.field.typed(queryset.query.model)
            if model in found:
                raise ValueError("Only one queryset is allowed for each content type.")
            found[model] = queryset
        return found

    def _is_meant(self, instance: Any, held: models.Model) -> bool:
        """Tell whether the object held is the one that the instance's columns name."""
        field = self.field
        number = getattr(instance, field.ct_field_name, None)
        if number is None:
            return False
        found = field.get_content_type(obj=held, using=instance._state.db)
        if number != found.pk:
            return False
        return bool(as_key_of(held._meta.pk, getattr(instance, field.fk_field)) == held.pk)


class _Targets:
    """The targets of many instances; each is looked up once."""

    def __init__(self, field: CrossDBGenericForeignKey) -> None:
        self._field = field
        self._models: dict[tuple[Any, Any], Any] = {}

    def of(self, instance: Any) -> tuple[Any, Any]:
        field = self._field
        number = getattr(instance, field.ct_field_name)
        if number is None:
            return None, None
        place = (instance._state.db, number)
        if place not in self._models:
            self._models[place] = field.target_of(instance)[0]
        model = self._models[place]
        if model is None:
            return None, None
        return model, as_key_of(model._meta.pk, getattr(instance, field.fk_field))

    def key(self, instance: Any) -> tuple[Any, ...]:
        return (self.of(instance)[1],)


def _rows_of(model: Any, members: list[Any], given: Any, targets: _Targets) -> tuple[Any, Any]:
    """Return the targets of one model, and the functions that match rows and instances."""
    queryset: Any = placed_queryset(model, members[0]) if given is None else given._chain()
    queryset._add_hints(instance=members[0])
    groups = Groups(members, queryset, None if given is None else given._db)
    pk = model._meta.pk
    matching = groups.matching(lambda row: (row.pk,), targets.key)
    if isinstance(pk, CompositePrimaryKey):
        rows: list[Any] = []
        for alias, instances in groups.by_alias.items():
            wanted = dict.fromkeys(targets.of(instance)[1] for instance in instances)
            size = keys.chunk_size(
                alias, model._meta.pk_fields[0], parameters=len(model._meta.pk_fields), listed=True
            )
            for chunk in keys.chunks(wanted, size):
                rows.extend(queryset.using(alias).filter(pk__in=chunk))
        found = queryset.all()
        found._result_cache, found._prefetch_done = rows, True
        return found, matching
    queryset = queryset.all()
    queryset.query.clear_ordering()
    return fetch(queryset, pk, groups, targets.key), matching


def _name_type(field: CrossDBGenericForeignKey, instance: Any, content_type: Any) -> None:
    """Let an instance name ``content_type``, whose database is known to be the right one."""
    type_field = field.type_field
    setattr(instance, type_field.attname, content_type.pk)
    type_field.set_cached_value(instance, content_type)
