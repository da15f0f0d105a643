"""What may be logged of a request that is not HTTP: never its bytes, for a broken header may be a key."""

from __future__ import annotations

import logging

from aiohttp.http_exceptions import HttpProcessingError

#: Where aiohttp reports requests that it cannot read.
AIOHTTP_SERVER = "aiohttp.server"

#: The SDK of the Model Context Protocol, which tells of the beginning and end of every message.
MCP_SDK = "mcp"


def keep_quotes_out() -> None:
    """Have aiohttp's server name the kind of a protocol error and leave out the text, which quotes the request."""
    logging.getLogger(AIOHTTP_SERVER).addFilter(_without_quotes)
    logging.getLogger(MCP_SDK).setLevel(logging.WARNING)


def _without_quotes(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        record.msg, record.args = f"{record.getMessage()}: {type(error).__name__}", None
        record.exc_info = record.exc_text = None
        # The client's mistake, not the server's.
        record.levelno, record.levelname = logging.INFO, logging.getLevelName(logging.INFO)
    return True
