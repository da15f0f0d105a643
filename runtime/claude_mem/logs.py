"""Logs on standard error, of runtime and operator alike: text for people, or one JSON object a line for machines.

So one query finds both. Which loggers say too much, and which fields a line gets beyond those of its call, is told by
whoever calls: the runtime binds fields to tasks, the operator's libraries add some that nobody wants.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

#: The fields that a line gets besides time, level, logger and message.
FieldsOf = Callable[[logging.LogRecord], Mapping[str, Any]]

_STANDARD: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def added_to(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the call of the logger added to its record."""
    return {name: value for name, value in record.__dict__.items() if name not in _STANDARD}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields, and an exception's traceback."""

    def __init__(self, fields_of: FieldsOf = added_to) -> None:
        super().__init__()
        self._fields_of = fields_of

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        entry: dict[str, Any] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= self._fields_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people, with the fields behind the message."""

    def __init__(self, fields_of: FieldsOf = added_to) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._fields_of = fields_of

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        fields = " ".join(f"{name}={value}" for name, value in self._fields_of(record).items())
        return f"{line} {fields}" if fields else line


def configure(*, level: str, form: str, quiet: Iterable[str], fields_of: FieldsOf = added_to) -> None:
    """Send this process's logs to standard error.

    Parameters:
        level: DEBUG, INFO, WARN or ERROR.
        form: `text` or `json`.
        quiet: loggers that are heard from a warning on.
        fields_of: what a line gets besides time, level, logger and message.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(fields_of) if form == "json" else TextFormatter(fields_of))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel({"WARN": logging.WARNING}.get(level, level))
    for name in quiet:
        logging.getLogger(name).setLevel(logging.WARNING)
