"""The operator's logs on standard error: one JSON object a line for machines, or text for people.

The fields are those of the runtime's logs, so that one query finds both.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {
    "message",
    "asctime",
    "taskName",
    "settings",
}

#: Loggers that say too much below a warning.
_QUIET: Final = ("aiohttp", "asyncio", "kopf", "kubernetes", "urllib3")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= _extra_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people, with the extra fields behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extra = " ".join(f"{name}={value}" for name, value in _extra_of(record).items())
        return f"{line} {extra}" if extra else line


def configure(*, level: str, form: str) -> None:
    """Send this process's logs to standard error.

    Parameters:
        level: DEBUG, INFO, WARN or ERROR.
        form: `text` or `json`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter()
        if form == "json"
        else TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"WARN": logging.WARNING}.get(level, level))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


def defect(logger: logging.Logger, error: Exception, *, doing: str) -> None:
    """Log an error that nobody foresaw: its kind and where it was raised.

    Neither its message nor local values, which may quote a secret.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("a defect of the operator while %s: %s\n%s", doing, type(error).__name__, where)


def _extra_of(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: value
        for name, value in record.__dict__.items()
        if name not in _STANDARD and not name.startswith("k8s_")
    }
