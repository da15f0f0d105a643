"""A purge and an answer that is kept for its Idempotency-Key meet: whichever is first, nothing is left of the answer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from claude_mem.model.times import now_us
from claude_mem.storage import idempotency
from tests.support.load import make_world, until

if TYPE_CHECKING:
    from claude_mem.storage.database import Executor
    from tests.support.databases import Storage

#: How many wait for a lock.
BLOCKED = (
    "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)


@pytest.mark.parametrize("purge_first", [True, False])
async def test_a_purge_and_an_answer_that_meet_leave_nothing_of_the_answer(
    postgres_storage: Storage, *, purge_first: bool
) -> None:
    database = await postgres_storage.open()
    world = await make_world(database)
    now = now_us()
    claim = idempotency.Claim("request", world.team_id, "body", "owner", now + 10**9, now + 10**9)
    assert await idempotency.claim(database, claim, now_us=now)

    async def purge(executor: Executor) -> None:
        await idempotency.clear(executor, team_id=world.team_id)

    async def finish(executor: Executor) -> None:
        await idempotency.finish(executor, claim, status=201, answer=b"what was purged")

    first, second = (purge, finish) if purge_first else (finish, purge)

    async def waits() -> bool:
        return await postgres_storage.query(BLOCKED) == [(1,)]

    async with asyncio.TaskGroup() as group, database.transaction() as transaction:
        await first(transaction)
        group.create_task(second(database))
        await until(waits, what="the second to wait for the first")
    assert await idempotency.find(database, claim.id) == idempotency.Kept("body", 201, idempotency.PURGED)
    await postgres_storage.close()
