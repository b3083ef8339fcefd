"""Five databases, real flights, and relations between them all.

``make demo`` shows them being scanned and deleted through, ``make serve`` runs the site.
"""

# So that xdbrel.tasks go to this project's worker, as Celery's Django guide has it.
from worker import celery

__all__ = ["celery"]
