"""The Celery worker of a project that uses xdbrel: ``celery -A worker worker``.

The tasks themselves are ``xdbrel.tasks``, and any project's own Celery app finds them.
"""

from worker.app import app as celery

__all__ = ["celery"]
