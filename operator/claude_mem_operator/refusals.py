"""Watches that the operator's role does not allow: told once and clearly, and counted.

kopf asks again every few seconds, for half an hour, and says each time that it will. An API server that starts may refuse
what it allows a moment later, so only what stays refused is made an error.
"""

from __future__ import annotations

import logging
import re
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds for which a watch has been refused when it becomes an error.
LASTING_S: Final = 15.0
#: Seconds without a refusal after which the next is a new one; longer than kopf pauses and waits for an answer.
OVER_S: Final = 60.0
#: Seconds between two errors about the same.
AGAIN_S: Final = 1800.0

#: The API server's words: https://kubernetes.io/docs/reference/access-authn-authz/authorization/.
_REFUSED: Final = re.compile(
    r"will retry: .* APIForbiddenError\(.*? cannot (?P<verb>[a-z]+) "
    r'resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?P<where> in the namespace "[^"]+"| at the cluster scope)?'
)


class Refusals(logging.Filter):
    """Puts one error in the place of kopf's lines about a watch that is refused; the first lines are left alone.

    Parameters:
        count: called with the verb and the kind of each try that is refused, once it is an error.
    """

    def __init__(
        self, count: Callable[[str, str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._count = count
        self._clock = clock
        self._first: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is wanted; it may be another then."""
        found = _REFUSED.search(record.getMessage())
        if found is None:
            return True
        now = self._clock()
        kind = f"{found['resource']}.{found['group']}".rstrip(".")
        what = f"{found['verb']} {kind}{found['where'] or ''}"
        if now - self._last.get(what, -OVER_S) >= OVER_S:
            self._first[what] = now
            self._told.pop(what, None)
        self._last[what] = now
        if now - self._first[what] < LASTING_S:
            return True
        self._count(found["verb"], kind)
        if what in self._told and now - self._told[what] < AGAIN_S:
            return False
        self._told[what] = now
        record.levelno, record.levelname = logging.ERROR, logging.getLevelName(logging.ERROR)
        record.args = ()
        record.msg = (
            f"the operator may not {what}, so it does not hear of changes there: give its account that verb, as "
            "the roles of its chart do; it is asked for again every few seconds"
        )
        return True
