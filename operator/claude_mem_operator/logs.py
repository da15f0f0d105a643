"""The operator's logs: without what its libraries add to every line. The form of a line is left to `claude_mem.logs`."""

from __future__ import annotations

import logging
import re
import traceback
from typing import TYPE_CHECKING, Any, Final

from claude_mem import logs

if TYPE_CHECKING:
    from claude_mem_operator.kube.port import ObjectRef

#: Loggers that say too much below a warning.
_QUIET: Final = ("aiohttp", "asyncio", "kopf", "kubernetes", "urllib3")
#: What kopf logs as an error although it goes on by itself: an API server that is away or busy for a moment.
_GOES_ON: Final = re.compile(r"Request attempt \S+ failed; (?:[^;]*; )?will (?:retry|re-authenticate): ")


def configure(*, level: str, form: str) -> None:
    """Send this process's logs to standard error.

    Parameters:
        level: DEBUG, INFO, WARN or ERROR.
        form: `text` or `json`.
    """
    logs.configure(level=level, form=form, quiet=_QUIET, fields_of=fields_of)
    for handler in logging.getLogger().handlers:
        handler.addFilter(_weighed)


def _weighed(record: logging.LogRecord) -> bool:
    """Whether a line is wanted; a failure that kopf tries again is made a warning, for nobody has to do anything."""
    if (
        record.name.startswith("kopf")
        and record.levelno == logging.ERROR
        and _GOES_ON.match(record.getMessage())
    ):
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return record.levelno >= logging.getLogger().level


def defect(logger: logging.Logger, error: BaseException, *, doing: str) -> None:
    """Log an error that nobody foresaw: its kind and where it was raised.

    Neither its message nor local values, which may quote a secret.
    """
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("a defect of the operator while %s: %s\n%s", doing, type(error).__name__, where)


def written(logger: logging.Logger, ref: ObjectRef, *, reason: str, resource: str) -> None:
    """Log a write to a child of `resource`, which is `namespace/name`: what was written and why, never a value of it."""
    logger.info("%s: %s", ref, reason, extra={"resource": resource, "kind": ref.kind.kind, "reason": reason})


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The fields that the call added; kopf's own, its settings and the object that it works on, are left out."""
    return {
        name: value
        for name, value in logs.added_to(record).items()
        if name != "settings" and not name.startswith("k8s_")
    }
