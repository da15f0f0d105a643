"""Every environment variable that the product reads, each declared once.

`VARIABLES` is the whole list in the order of the reference. A variable that no module reads must not stand
here, and one that is read anywhere must.
"""

from __future__ import annotations

from typing import Any, Final

from claude_mem.environment.catalogue import client, embedding, generation, service, tenancy
from claude_mem.environment.variables import Variable

VARIABLES: Final[tuple[Variable[Any], ...]] = tuple(
    declared
    for module in (service, tenancy, generation, embedding, client)
    for declared in vars(module).values()
    if isinstance(declared, Variable)
)

NAMES: Final[frozenset[str]] = frozenset(name for variable in VARIABLES for name in variable.names)

# Variables of claude-mem 13 that would be a plausible thing to set, and do nothing here.
UNREAD: Final[dict[str, str]] = {
    "CLAUDE_MEM_REDIS_HOST": "Write host and port into CLAUDE_MEM_REDIS_URL.",
    "CLAUDE_MEM_REDIS_PORT": "Write host and port into CLAUDE_MEM_REDIS_URL.",
    "CLAUDE_MEM_REDIS_MODE": "CLAUDE_MEM_REDIS_URL alone says which Redis is used.",
}

__all__ = ["NAMES", "UNREAD", "VARIABLES", "client", "embedding", "generation", "service", "tenancy"]
