"""The form field of a relation over several columns: a choice among the targets.

Owns how a key of several columns stands in a form, as a text of JSON, and what such a form shows
of an object. What the relation is has its place in ``composite``.
"""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import ProhibitNullCharactersValidator
from django.db import models

from xdbrel import keys
from xdbrel.keys import KeyIn


class CompositeModelChoiceField(forms.ModelChoiceField):  # type: ignore[type-arg]
    """A choice among the targets of ``relation``, a ``CrossDBCompositeForeignKey``.

    What is chosen is an object, and sets all columns of the relation where a ``ModelForm``
    declares the field by the relation's name. Takes what ``ModelChoiceField`` takes but
    ``to_field_name``.
    """

    def __init__(self, queryset: Any, *, relation: Any, **kwargs: Any) -> None:
        super().__init__(queryset, **kwargs)
        self.relation = relation

    def get_bound_field(self, form: Any, field_name: str) -> Any:
        # Of a model's fields, forms ask those alone that have a column for what they show.
        instance = getattr(form, "instance", None)
        if isinstance(instance, self.relation.model) and self.relation.has_key(instance):
            form.initial.setdefault(field_name, self.relation.key_of(instance))
        return super().get_bound_field(form, field_name)

    def prepare_value(self, value: Any) -> Any:
        if isinstance(value, models.Model):
            value = self.relation.get_foreign_related_value(value)
        if isinstance(value, tuple):
            (encoded,) = keys.encode([value], self.relation.target_field)
            return json.dumps(encoded)
        return value

    def to_python(self, value: Any) -> Any:
        if value in self.empty_values:
            return None
        try:
            key = self._key(self.prepare_value(value))
            named = models.F(self.relation.target_field.attname)
            found: Any = self.queryset.get(KeyIn(named, [key]))  # type: ignore[union-attr]
        except (
            ValueError,
            TypeError,
            ValidationError,
            self.queryset.model.DoesNotExist,  # type: ignore[union-attr]
        ) as error:
            raise ValidationError(
                self.error_messages["invalid_choice"],
                code="invalid_choice",
                params={"value": value},
            ) from error
        return found

    def _key(self, text: str) -> tuple[Any, ...]:
        """Return the key that stands in a form; raise where it can be none."""
        target = self.relation.target_field
        key: tuple[Any, ...]
        (key,) = keys.decode([json.loads(text)], target)
        for column, part in zip(keys.columns_of(target), key, strict=True):
            # No database is asked for what it cannot hold.
            column.run_validators(part)
            ProhibitNullCharactersValidator()(part)
        return key
