"""The sample project for the worker's tests: what takes an hour there takes a second here."""

from sample_project.settings import *  # noqa: F403
from sample_project.settings import CELERY_BROKER_TRANSPORT_OPTIONS, REDIS_URL, XDBREL

XDBREL = {**XDBREL, "CLAIM_SECONDS": 0.1, "RETRY_SECONDS": 0.1}
if REDIS_URL:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        **CELERY_BROKER_TRANSPORT_OPTIONS,
        "visibility_timeout": 1,
        # Kombu looks for what became visible again when a worker starts, and then only
        # once in interval x throttle seconds (100 by default), under a lock that a killed
        # worker keeps until it expires (300).
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
        "unacked_mutex_expire": 2,
    }
else:
    # Kombu looks for messages once a second. As an option it would reach SQLAlchemy too.
    from kombu.transport.sqlalchemy import Transport

    Transport.polling_interval = 0.05
