"""Leases after an outage of the database: their holders speak up at once, before anybody takes their jobs away."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import pytest

from claude_mem.model.errors import Unavailable
from claude_mem.storage import jobs
from claude_mem.worker import leases
from claude_mem.worker.leases import Leases

NEVER_S = 1e9


async def test_who_could_not_keep_a_job_tries_again_long_before_its_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody: Any = None
    kept = Leases(nobody, lease_us=600_000_000, heartbeat_s=0.001)
    extended = asyncio.Event()
    refusals = 3

    async def heartbeat(_: object, claims: Iterable[jobs.Claim], **__: int) -> set[str]:
        nonlocal refusals
        kept._heartbeat_s = NEVER_S
        if refusals:
            refusals -= 1
            raise Unavailable("away", dependency="postgres")
        extended.set()
        return {claim.job_id for claim in claims}

    monkeypatch.setattr(jobs, "heartbeat", heartbeat)
    monkeypatch.setattr(leases, "AGAIN_S", 0.001)
    working = asyncio.create_task(asyncio.Event().wait())
    kept.begin([jobs.Claim("job", 1, "worker")], working)  # type: ignore[arg-type] # any task will do
    keeping = asyncio.create_task(kept.keep())
    async with asyncio.timeout(60):
        await extended.wait()
    assert not working.cancelled()
    for task in (keeping, working):
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_heartbeat_that_hangs_is_given_up_before_the_lease_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nobody: Any = None
    kept = Leases(nobody, lease_us=300_000, heartbeat_s=0.001)
    extended = asyncio.Event()
    asked = 0

    async def heartbeat(_: object, claims: Iterable[jobs.Claim], **__: int) -> set[str]:
        nonlocal asked
        asked += 1
        if asked == 1:
            await asyncio.Event().wait()
        extended.set()
        return {claim.job_id for claim in claims}

    monkeypatch.setattr(jobs, "heartbeat", heartbeat)
    keeping = asyncio.create_task(kept.keep())
    async with asyncio.timeout(60):
        await extended.wait()
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
