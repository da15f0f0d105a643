"""Ports for what tests start: nobody is given one twice, not even by another process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.ports import NoFreePortError, free_port
from tests.support.processes import wait_until

_ROOT = Path(__file__).parents[2]
_ASK = """
import sys
from tests.support import ports
ports.PORTS = range(int(sys.argv[1]), int(sys.argv[1]) + 1)
try:
    print(ports.free_port())
except ports.NoFreePortError:
    print("none")
"""


def test_a_port_is_given_once() -> None:
    given = {free_port() for _ in range(100)}
    assert len(given) == 100
    assert given <= set(ports.PORTS)


def test_two_processes_are_never_given_the_same_port() -> None:
    mine = free_port()
    command = [sys.executable, "-c", _ASK, str(mine)]
    asked = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    assert asked.stdout.strip() == "none"


def test_a_port_that_something_listens_on_is_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = listener.getsockname()[1]
        monkeypatch.setattr(ports, "PORTS", range(taken, taken + 1))
        with pytest.raises(NoFreePortError, match="is in use"):
            free_port()


def test_a_port_can_be_claimed_unless_somebody_has_it_who_listens_or_not() -> None:
    port = free_port()
    assert not ports.claim_port(port)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        taken = bound.getsockname()[1]
        assert not ports.claim_port(taken)
        bound.listen()
        assert not ports.claim_port(taken)


def test_a_port_whose_server_has_just_ended_can_be_claimed() -> None:
    """Its connections wait at the server's side, which ended them."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            listener.accept()[0].close()
            assert client.recv(1) == b""
    wait_until(lambda: ports.claim_port(port), what="the port to be had again")
    assert not ports.claim_port(port)


def test_whoever_holds_many_gives_the_oldest_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "MOST_HELD", 3)
    while len(ports._HELD) > 3:
        os.close(ports._HELD.popleft())
    oldest = free_port()
    for _ in range(3):
        free_port()
    monkeypatch.setattr(ports, "PORTS", range(oldest, oldest + 1))
    assert free_port() == oldest
