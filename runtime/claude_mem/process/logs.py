"""Logs of servers and workers: a line has the fields bound to its task, too. Its form is left to `claude_mem.logs`."""

from __future__ import annotations

import logging
from typing import Any

from claude_mem import logs
from claude_mem.telemetry import context

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


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that are bound where the record was made, and those that the call added to it."""
    return {**context.fields(), **logs.added_to(record)}


def configure(*, level: str, form: str) -> None:
    """Send this process's logs to standard error.

    Parameters:
        level: DEBUG, INFO, WARN or ERROR.
        form: `text` or `json`.
    """
    logs.configure(level=level, form=form, quiet=_QUIET, fields_of=fields_of)
    # It logs a traceback for each connection that it cannot make anew; what that means is said by who asked for one.
    logging.getLogger("asyncpg.pool").setLevel(logging.CRITICAL)
