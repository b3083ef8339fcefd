"""What tells a plan apart from Django: collectors of xdbrel's own.

Owns the little that ``plan`` asks of them. Django's ``Collector`` is asked nothing, and any
other subclass of it (the admin's) is taken to show everything as a tree.
"""

from __future__ import annotations

from typing import Any

from django.db.models.deletion import Collector

from xdbrel.cascade import graph


class OwnCollector(Collector):
    """A ``Collector`` that says what it wants to see, and carries policies out its own way."""

    #: Whether every row that would go is looked at, or only what somebody may refuse.
    shows_all = False

    def carry_out(self, policy: Any, field: Any, sources: Any) -> None:
        """Do what ``policy`` means for ``sources``, which are on this collector's alias."""
        graph.carry_out(policy, self, field, sources, self.using)
