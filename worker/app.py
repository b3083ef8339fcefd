"""The Celery app: which settings it reads, and which it has where the project gives none.

Every setting is Django's ``CELERY_…``; those that the project leaves out are from
``worker.config``, which is what xdbrel's tasks need to lose nothing, and from
``worker.schedule``. What the tasks do is in ``xdbrel.tasks``.
"""

from __future__ import annotations

import os
from typing import Any

from celery import Celery

from worker import config, schedule

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sample_project.settings")


def defaults() -> dict[str, Any]:
    """Return the settings that the project does not give.

    Celery puts what ``add_defaults()`` is given before the project's own settings, in
    spite of its name.
    """
    from django.conf import settings

    known = {**config.defaults(), **schedule.defaults()}
    return {
        name: value
        for name, value in known.items()
        if not hasattr(settings, f"CELERY_{name.upper()}")
    }


app = Celery("xdbrel")
app.config_from_object("django.conf:settings", namespace="CELERY")
# A function, called when the configuration is read: Django's settings may not be complete
# while this is imported.
app.add_defaults(defaults)
app.autodiscover_tasks()
