"""Imports that are kept whole until they end: what they may take, and that nothing of them is left on any path."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from claude_mem.http.routes import transfer
from claude_mem.model.errors import Unavailable
from claude_mem.services import transfer_spool
from tests.support.http import PATIENCE_S, Server, Tenant, closing_quietly, eventually

LIMIT = 64 * 1024
HEADER = b'{"type":"header","format":"claude-mem-export","version":1}\n'
KEPT = ("strict=true", "dryRun=true", "strict=true&dryRun=true")
LINES = {"Content-Type": "application/x-ndjson"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps little."""
    limits = {"CLAUDE_MEM_IMPORT_SPOOL_BYTES": str(LIMIT), "CLAUDE_MEM_GENERATION_DISABLED": "true"}
    with Server(tmp_path_factory.mktemp("small"), environ=limits) as server:
        yield server


@pytest.fixture
def on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The directory of temporary files, to which every upload is written from its first byte on."""
    monkeypatch.setattr(transfer_spool, "_IN_MEMORY", 1)
    directory = tmp_path / "spool"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


def of_length(size: int) -> bytes:
    """An import whose length is this; blank lines mean nothing."""
    return HEADER + b"\n" * (size - len(HEADER))


def send(api: Server, tenant: Tenant, content: bytes, query: str) -> httpx.Response:
    return api.call("POST", f"/v1/import?{query}", tenant.full, content=content, headers=LINES)


@contextmanager
def under_way(api: Server, tenant: Tenant, size: int, *, announced: int = LIMIT) -> Iterator[socket.socket]:
    """An upload of which so much has come."""
    head = (
        f"POST /v1/import?strict=true HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.full}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {announced}\r\n\r\n"
    )
    with api.connection() as raw:
        raw.sendall(head.encode() + of_length(size))
        eventually(lambda: room(api).used == size, what="the upload to be kept")
        yield raw


def room(api: Server) -> transfer_spool.SpoolRoom:
    return api.services.import_room


def is_empty(api: Server) -> None:
    eventually(lambda: room(api).used == 0, what="the upload to be let go of")


def open_files(directory: Path) -> list[str]:
    """Files of a directory that this process has open, names or not."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        with closing_quietly():
            found.append(os.readlink(f"/proc/self/fd/{number}"))
    return [name for name in found if name.startswith(str(directory))]


@pytest.mark.parametrize("query", KEPT)
def test_a_longer_one_is_refused_with_the_way_out(small: Server, query: str) -> None:
    tenant = small.tenant()
    assert send(small, tenant, of_length(LIMIT), query).status_code == 200
    refused = send(small, tenant, of_length(LIMIT + 1), query)
    assert (refused.status_code, refused.json()["error"]) == (413, "PayloadTooLarge")
    for way in ("strict", "dryRun", "claude-mem server import", "CLAUDE_MEM_IMPORT_SPOOL_BYTES"):
        assert way in refused.json()["message"]
    is_empty(small)


def test_what_does_not_tell_its_length_is_refused_on_the_way(small: Server, on_disk: Path) -> None:
    tenant = small.tenant()

    def unending() -> Iterator[bytes]:
        yield HEADER
        for _ in range(LIMIT // 256):
            yield b"\n" * 512

    headers = {"Authorization": f"Bearer {tenant.full}", **LINES}
    with httpx.Client(trust_env=False, headers=headers, timeout=PATIENCE_S) as client:
        refused = client.post(f"{small.url}/v1/import?dryRun=true", content=unending())
    assert refused.status_code == 413
    is_empty(small)
    assert os.listdir(on_disk) == []


def test_what_is_not_kept_may_be_longer(small: Server) -> None:
    assert send(small, small.tenant(), of_length(LIMIT * 4), "strict=false").status_code == 200


def test_a_client_that_goes_away_leaves_nothing(small: Server, on_disk: Path) -> None:
    with under_way(small, small.tenant(), LIMIT // 2):
        # Its room is taken before it is written.
        eventually(lambda: open_files(on_disk), what="it to be on the disk")
        assert os.listdir(on_disk) == [], "but it has no name: not even `kill -9` leaves it behind"
    is_empty(small)
    eventually(lambda: not open_files(on_disk), what="the file to be closed")


def test_a_refused_line_leaves_nothing(small: Server, on_disk: Path) -> None:
    assert send(small, small.tenant(), HEADER + b"{}\n", "strict=true").status_code == 400
    is_empty(small)
    assert open_files(on_disk) == []


def test_a_client_that_says_nothing_more_is_let_go(small: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = small.tenant()
    with under_way(small, tenant, LIMIT // 2) as raw:
        # Only now: on a busy machine what was sent may take longer than that. Behind the next byte it is short.
        monkeypatch.setattr(transfer, "READ_S", 1.0)
        raw.sendall(b"\n")
        raw.settimeout(PATIENCE_S)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")
        is_empty(small)


def test_others_wait_while_the_room_is_taken(small: Server) -> None:
    one, two = small.tenant(), small.tenant()
    with under_way(small, one, LIMIT - 100):
        refused = send(small, two, of_length(200), "strict=true")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert one.team not in refused.text
        assert send(small, two, of_length(200), "").status_code == 200, "which keeps nothing"
    is_empty(small)
    assert send(small, two, of_length(200), "strict=true").status_code == 200


def test_some_of_the_disk_is_left_to_others(
    small: Server, on_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nearly_full = SimpleNamespace(f_bavail=9, f_blocks=100, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _: nearly_full)
    refused = send(small, small.tenant(), of_length(LIMIT // 2), "strict=true")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert "nearly full" in refused.json()["message"]
    is_empty(small)


async def test_a_disk_that_is_full_all_the_same_is_told() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield HEADER

    with Path("/dev/full").open("wb", buffering=0) as full:  # noqa: ASYNC230 - a device, which never waits
        spool = transfer_spool.Spool(transfer_spool.SpoolRoom(), full)
        with pytest.raises(Unavailable, match="nearly full"):
            await spool.keep(chunks())
