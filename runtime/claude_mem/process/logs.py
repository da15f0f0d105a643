"""Logs on standard error, as text for people or as one JSON object a line for machines."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from claude_mem.model.times import iso8601_ms
from claude_mem.telemetry import context

_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

#: Loggers that say too much below a warning; some of them would quote what is sent.
_QUIET = (
    "aiohttp",
    "aiosqlite",
    "anthropic",
    "asyncio",
    "google_genai",
    "httpcore",
    "httpcore2",
    "httpx",
    "httpx2",
    "openai",
    "opentelemetry",
)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the fields bound to the task, the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": iso8601_ms(int(record.created * 1000)),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= extra_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """A line for people, with the extra fields behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        extra = " ".join(f"{name}={value}" for name, value in extra_of(record).items())
        return f"{line} {extra}" if extra else line


def extra_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that are bound where the record was made, and those that the call added to it."""
    added = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
    return {**context.fields(), **added}


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
    # It logs a traceback for each connection that it cannot make anew; what that means is said by who asked for one.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
