"""Log records as lines of JSON, with what xdbrel says beside the message.

Name ``xdbrel.contrib.json_logs.Formatter`` as the ``"()"`` of a formatter in ``LOGGING``.
"""

from __future__ import annotations

import datetime
import json
import logging

#: What any record has; whatever else it has was given as ``extra``.
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Formatter(logging.Formatter):
    """One object per record: time, level, logger, message, its extras, and an error if any."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line."""
        line = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
