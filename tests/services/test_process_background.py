"""What runs beside the requests may fail, and ends nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from claude_mem.process import server as process
from claude_mem.services.assembly import Services
from tests.support.http import Server


def test_what_nobody_foresaw_behind_the_requests_ends_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Server(tmp_path) as server:
        tried: list[asyncio.Event] = [asyncio.Event(), asyncio.Event()]
        left = iter(tried)
        store = Services.write_behind

        async def fail_twice(services: Services) -> None:
            """Stands for a defect, which ends after two turns."""
            stage = next(left, None)
            if stage is None:
                await store(services)
                return
            stage.set()
            raise ZeroDivisionError

        monkeypatch.setattr(process, "WRITE_BEHIND_S", 0.01)
        monkeypatch.setattr(Services, "write_behind", fail_twice)
        for stage in tried:
            server.run(asyncio.wait_for(stage.wait(), 60))
        assert server.call("GET", "/healthz").status_code == 200
