"""Free TCP ports on loopback that nobody else who asks here is given.

Tests run in several processes at once, and some ports have to stay free for a while: until the real listener
comes, or until it is started again. Two things keep them so. They lie below the range from which the system takes
ports for outgoing connections. And whoever is given one holds the UDP port of the same number, which nothing here
listens on; another process that asks finds that one taken and goes on to the next. The system gives it back when
its holder ends, however that happens.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections import deque

#: Below 30000, where a cluster's node ports begin, and below 32768, from where Linux takes ports for connections.
PORTS = range(15_000, 30_000)

#: As many as a test may be using; every one costs a file descriptor. The oldest are given back.
_HELD: deque[int] = deque()
MOST_HELD = 128


class NoFreePortError(AssertionError):
    """Raised when every port of the range is in use."""


def free_port() -> int:
    """A TCP port on 127.0.0.1 that nothing listens on now, and that no other caller on this machine is given."""
    first = secrets.randbelow(len(PORTS))
    for step in range(len(PORTS)):
        port = PORTS[(first + step) % len(PORTS)]
        if _hold(port, reuse=False):
            return port
    raise NoFreePortError(f"every port from {PORTS[0]} to {PORTS[-1]} is in use; end what listens on them")


def claim_port(port: int) -> bool:
    """Whether a server can have this TCP port on 127.0.0.1, which is then held as those of `free_port` are."""
    return _hold(port, reuse=True)


def _hold(port: int, *, reuse: bool) -> bool:
    """Whether nobody has a port or claims it; it is held then.

    Parameters:
        reuse: whether connections of a server that ended there just now may be left, as servers allow.
    """
    claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        claim.bind(("127.0.0.1", port))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
            probe.bind(("127.0.0.1", port))
    except OSError:
        claim.close()
        return False
    _HELD.append(claim.detach())
    if len(_HELD) > MOST_HELD:
        os.close(_HELD.popleft())
    return True


def is_listening(port: int, *, host: str = "127.0.0.1") -> bool:
    """Whether a connection to the port is accepted."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0
