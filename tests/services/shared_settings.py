"""The sample project for scans that several workers share: ranges and steps are small.

XDBREL_TEST_BROKER is the broker's address; results are not kept, since all that counts is in
the databases. XDBREL_TEST_QUEUE is a queue of one test, XDBREL_TEST_SOFT_LIMIT the seconds
after which its tasks are told to end.
"""

import os

from sample_project.settings import *  # noqa: F403
from sample_project.settings import XDBREL

CELERY_BROKER_URL = os.environ["XDBREL_TEST_BROKER"]
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = os.environ["XDBREL_TEST_QUEUE"]
CELERY_BROKER_TRANSPORT_OPTIONS = {}
CELERY_TASK_SOFT_TIME_LIMIT = float(os.environ.get("XDBREL_TEST_SOFT_LIMIT", "600"))
XDBREL = {
    **XDBREL,
    "SCAN_RANGE_ROWS": 500,
    "SCAN_KEYS_PER_SECOND": float(os.environ.get("XDBREL_TEST_SPEED", "0")),
    "SCAN_LEASE_SECONDS": 5.0,
    "MAX_ATTEMPTS": 100,
}
