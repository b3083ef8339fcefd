"""The system checks: what would break silently is said before it does.

One module for each subject; each id has a section in docs/checks.md:

* ``configuration`` (001-013): ``settings.XDBREL`` and the routers;
* ``homes`` (020-024): plain relations, and models without a home or torn apart;
* ``fields`` (030-035): the cross-database fields;
* ``contrib`` (040-044): Django's own apps, generic relations;
* ``services`` (050-053): django-cachalot and Celery;
* ``caches`` (056-058): what django-cachalot does not learn of;
* ``columns`` (060-062): what the databases hold; tagged ``database``, since these connect;
* ``triggers`` (070-073): what captures beside the ORM; tagged ``database`` too;
* ``workers`` (080-081): what workers have noted; tagged ``database`` as well;
* ``many_to_many`` (100-102): the many-to-many fields;
* ``generic`` (110-112): generic relations of ours; 111 is tagged ``database``;
* ``composite`` (120-124): relations over several columns;
* ``moving`` (130-132): ``XDBREL["MOVING"]``;
* ``adoption`` (140-141): other apps' relations that are to cross; 141 is tagged ``database``.

All but those of ``columns``, ``triggers`` and ``workers``, and those two, bear the tag ``xdbrel``;
the two on Celery's schedule and those of ``workers`` are deployment checks.
"""

from xdbrel.checks import (
    adoption,
    caches,
    columns,
    composite,
    configuration,
    contrib,
    fields,
    generic,
    homes,
    many_to_many,
    moving,
    services,
    triggers,
    workers,
)

__all__ = [
    "adoption",
    "caches",
    "columns",
    "composite",
    "configuration",
    "contrib",
    "fields",
    "generic",
    "homes",
    "many_to_many",
    "moving",
    "services",
    "triggers",
    "workers",
]
