"""What an environment says of TLS to PostgreSQL; whether a certificate is good is left to whoever connects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem.environment.catalogue import service
from claude_mem.environment.urls import hosts_of, names_service, normal_ssl_mode, ssl_mode_of
from claude_mem.environment.values import text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet

#: What asyncpg takes where nothing is said, as libpq does.
DEFAULT_SSL_MODE: Final = "prefer"

#: Modes that encrypt at best: whoever answers is believed. `require` checks where authorities are named, as libpq does:
#: https://www.postgresql.org/docs/current/libpq-ssl.html.
UNCHECKED: Final = frozenset({"disable", "allow", "prefer"})

#: Where asyncpg looks for hosts that the URL does not name, as libpq does.
_HOSTS: Final = "PGHOST"

_SOURCES: Final = (
    (service.POSTGRES_SSL, normal_ssl_mode),
    (service.DATABASE_URL, ssl_mode_of),
    (service.PGSSLMODE, normal_ssl_mode),
)


def ssl_mode(environ: Mapping[str, str], *, opaque: AbstractSet[str] = frozenset()) -> str | None:
    """The mode in libpq's words; None where it may stand in a variable of `opaque`, which nobody can look at."""
    for variable, mode_in in _SOURCES:
        if variable.name in opaque:
            return None
        given = text(environ, variable.name)
        mode = None if given is None else mode_in(given)
        if mode is not None:
            return mode
    return DEFAULT_SSL_MODE


def asks_sockets(environ: Mapping[str, str], *, opaque: AbstractSet[str] = frozenset()) -> bool:
    """Whether PostgreSQL is asked by sockets of this machine, on which asyncpg speaks no TLS, whatever the mode.

    Where no host is named these are its default, with localhost as its last resort. What may stand in a variable of
    `opaque`, or in a service file, counts as another machine.
    """
    if service.DATABASE_URL.name in opaque:
        return False
    url = text(environ, service.DATABASE_URL.name) or ""
    hosts = hosts_of(url)
    if not hosts and (_HOSTS in opaque or names_service(url)):
        return False
    hosts = hosts or tuple((text(environ, _HOSTS) or "").split(","))
    return all(host.startswith("/") for host in hosts if host)
