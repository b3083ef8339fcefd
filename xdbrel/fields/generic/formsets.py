"""The formset of what is related to an object by a generic relation."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.forms import BaseGenericInlineFormSet
from django.db import models

from xdbrel import content_types, placement
from xdbrel.compat import with_globals
from xdbrel.content_types import TypeId


class _TypesOf:
    """Stands in for ``ContentType`` in Django's formset, for rows with this foreign key to it."""

    def __init__(self, field: Any) -> None:
        self.field = field
        self.objects = self

    def get_for_model(self, target: Any, for_concrete_model: bool = True) -> TypeId:
        return TypeId(self.field, content_types.typed(target, concrete=for_concrete_model))


class CrossDBGenericInlineFormSet(BaseGenericInlineFormSet):  # type: ignore[type-arg]
    """A formset of the rows that are related to ``instance`` by a generic relation.

    For ``generic_inlineformset_factory(formset=…)`` and generic inlines of the admin.
    """

    ct_field: Any
    ct_fk_field: Any
    for_concrete_model: bool

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        init = with_globals(BaseGenericInlineFormSet.__init__, ContentType=_TypesOf(self.ct_field))
        init(self, *args, **kwargs)

    def save_new(self, form: Any, commit: bool = True) -> models.Model:
        model: Any = self.model
        home = placement.home(model, instance=self.instance)
        alias = content_types.alias_for(self.ct_field, home)
        found = content_types.of_model(self.instance, alias, concrete=self.for_concrete_model)
        setattr(form.instance, self.ct_field.attname, found.pk)
        setattr(form.instance, self.ct_fk_field.attname, self.instance.pk)
        saved: models.Model = form.save(commit=commit)
        return saved
