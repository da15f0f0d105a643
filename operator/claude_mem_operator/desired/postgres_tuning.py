"""PostgreSQL's settings from the memory that it has, and from nothing else: a change of any of these restarts it.

Sources: PostgreSQL's documentation, chapters "Resource Consumption" and "Connections and Authentication"
(https://www.postgresql.org/docs/17/runtime-config-resource.html), and the project's wiki page "Tuning Your PostgreSQL
Server" (https://wiki.postgresql.org/wiki/Tuning_Your_PostgreSQL_Server), as named at each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_KIB: Final = 1024
_MIB: Final = 1024 * _KIB

#: Connections beside the pools': 3 that PostgreSQL keeps for superusers (superuser_reserved_connections), 4 of a
#: migration, and some for probes and people.
RESERVE: Final = 20

#: A connection that does nothing takes about this much memory, in bytes.
_IDLE: Final = 2 * _MIB
#: Bounds of `max_connections`: enough for the pools of the resource's defaults, and what its shared memory is still
#: small for.
_FEWEST: Final = 300
_MOST: Final = 5000

#: Connections that sort at the same time: PostgreSQL's own default of `max_connections`, as the pools' are mostly idle.
_SORTING: Final = 100


def max_connections(memory: int) -> int:
    """As many connections as fit into `memory`, in bytes, while they do nothing; 300 to 5000.

    It does not follow the number of pods, for then another worker would restart PostgreSQL.
    """
    return max(_FEWEST, min(memory // _IDLE, _MOST))


def settings(memory: int) -> Mapping[str, str]:
    """Settings by name; `memory` is what PostgreSQL and its page cache may take together, in bytes."""
    # "A reasonable starting value for shared_buffers is 25% of the memory in your system" (documentation).
    shared = max(memory // 4, 16 * _MIB)
    # Three quarters of the memory, the wiki's "more aggressive but still reasonable amount": nothing else runs here.
    cache = max(memory * 3 // 4, shared)
    # Each sort or hash may take it, several in a query, in many connections at once (documentation): a third of
    # what the buffers leave, over those that sort; at least the 4 MB that PostgreSQL begins with.
    work = min(max((memory - shared) // (3 * _SORTING), 4 * _MIB), 64 * _MIB)
    # A sixteenth, for up to three autovacuum workers may take it at once (documentation).
    maintenance = min(max(memory // 16, 16 * _MIB), 2048 * _MIB)
    return {
        "max_connections": str(max_connections(memory)),
        "shared_buffers": _kilobytes(shared),
        "effective_cache_size": _kilobytes(cache),
        "work_mem": _kilobytes(work),
        "maintenance_work_mem": _kilobytes(maintenance),
    }


def _kilobytes(size: int) -> str:
    return f"{size // _KIB}kB"
