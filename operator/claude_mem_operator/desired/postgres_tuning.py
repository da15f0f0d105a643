"""PostgreSQL's settings from the memory that it has and the connections that it will be asked for.

Sources: PostgreSQL's documentation, chapters "Resource Consumption" and "Connections and Authentication"
(https://www.postgresql.org/docs/17/runtime-config-resource.html), and the project's wiki page "Tuning Your PostgreSQL
Server" (https://wiki.postgresql.org/wiki/Tuning_Your_PostgreSQL_Server), as named at each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem.environment.catalogue import service

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem_operator.desired.context import Context

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

#: Connections beside the pools': 3 that PostgreSQL keeps for superusers (superuser_reserved_connections), 4 of a
#: migration, and some for probes and people.
RESERVE: Final = 20

#: `max_connections` goes in steps, because a change restarts PostgreSQL: another worker or two must not do that.
STEP: Final = 100

#: While pods are replaced, the old ones finish what they have begun.
_GENERATIONS: Final = 2


def max_connections(context: Context) -> int:
    """Enough for every pool of every pod to be full, twice, and a reserve; in steps of `STEP`."""
    servers = _pool(context, Role.SERVER) * context.spec.server.replicas
    workers = _pool(context, Role.WORKER) * context.most_workers
    wanted = _GENERATIONS * (servers + workers) + RESERVE
    return -(-wanted // STEP) * STEP


def settings(*, memory: int, connections: int) -> Mapping[str, str]:
    """Settings by name.

    Parameters:
        memory: bytes that PostgreSQL and its page cache may take together.
        connections: `max_connections`.
    """
    # "A reasonable starting value for shared_buffers is 25% of the memory in your system" (documentation).
    shared = max(memory // 4, 16 * _MIB)
    # Three quarters of the memory, the wiki's "more aggressive but still reasonable amount": nothing else runs here.
    cache = max(memory * 3 // 4, shared)
    # Each sort or hash may take it, several in a query, in every connection at once (documentation): a third of
    # what the buffers leave, over all connections; at least the 4 MB that PostgreSQL begins with.
    work = min(max((memory - shared) // (3 * connections), 4 * _MIB), 64 * _MIB)
    # A sixteenth, for up to three autovacuum workers may take it at once (documentation).
    maintenance = min(max(memory // 16, 16 * _MIB), 2048 * _MIB)
    return {
        "max_connections": str(connections),
        "shared_buffers": _kilobytes(shared),
        "effective_cache_size": _kilobytes(cache),
        "work_mem": _kilobytes(work),
        "maintenance_work_mem": _kilobytes(maintenance),
    }


def _pool(context: Context, role: Role) -> int:
    """Connections of one process; the default where that is not to be known."""
    return service.POOL_MAX.read(context.environments[role].values)


def _kilobytes(size: int) -> str:
    return f"{size // _KIB}kB"
