"""The reverse side of the fields: relations whose ``on_delete`` depends on the homes.

Where source and target share a home, ``on_delete`` is the policy that was declared, and
Django does everything itself, fast deletes included.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.db.models.fields import reverse_related

from xdbrel import placement
from xdbrel.compat import is_database_level
from xdbrel.fields.on_delete import CascadeRows, ClearColumns, CrossDBOnDelete

#: Set while the routers are being asked: a router may itself look at on_delete.
_asking: ContextVar[bool] = ContextVar("xdbrel_asking_routers", default=False)


class CrossDBRelMixin:
    """Keeps the declared policy, and answers ``on_delete`` by where the two models live."""

    policy: Any
    parent_link: bool
    field: Any
    model: Any

    @property
    def on_delete(self) -> Any:
        if self._django_acts():
            return self.policy
        return CrossDBOnDelete(self.policy)

    @on_delete.setter
    def on_delete(self, policy: Any) -> None:
        self.policy = policy.policy if isinstance(policy, CrossDBOnDelete) else policy

    def _django_acts(self) -> bool:
        if (
            self.parent_link
            or self.policy is None
            or self.policy is models.DO_NOTHING
            or is_database_level(self.policy)
        ):
            return True
        if not apps.models_ready or isinstance(self.model, str) or _asking.get():
            return True
        if not hasattr(self.field, "model"):
            return True  # A field that no model has yet.
        asking = _asking.set(True)
        try:
            source = placement.home(self.field.model)
            target = placement.home(self.model)
            return placement.same_home(source, target)
        except ImproperlyConfigured:
            # No home is known, or a setting is wrong: deleting will raise it, with its
            # remedy; asking, as Django's system checks do, must not.
            return False
        finally:
            _asking.reset(asking)


# Both have Django's own names: XML fixtures and error messages spell out the class.


class ManyToOneRel(CrossDBRelMixin, reverse_related.ManyToOneRel):
    """The reverse side of a ``CrossDBForeignKey``."""


class CompositeRel(CrossDBRelMixin, reverse_related.ForeignObjectRel):
    """The reverse side of a ``CrossDBCompositeForeignKey``."""

    @property
    def on_delete(self) -> Any:
        on_delete = super().on_delete
        return CascadeRows() if on_delete is models.CASCADE else on_delete

    @on_delete.setter
    def on_delete(self, policy: Any) -> None:
        carried = policy.policy if isinstance(policy, CrossDBOnDelete) else policy
        # Django's own would write to a column that there is not.
        self.policy = ClearColumns() if carried is models.SET_NULL else carried
        if isinstance(carried, CascadeRows):
            self.policy = models.CASCADE


class OneToOneRel(CrossDBRelMixin, reverse_related.OneToOneRel):
    """The reverse side of a ``CrossDBOneToOneField``."""
