"""Transactions end as they must: committed once, or gone, whatever becomes of the task or the connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from claude_mem.model.documents import EMPTY
from claude_mem.model.errors import Unavailable
from claude_mem.storage import events, tenancy, usage
from claude_mem.storage.database import (
    TRANSACTION_ATTEMPTS,
    Database,
    Executor,
    ReferenceViolation,
    Retryable,
    UniqueViolation,
    run_transaction,
)
from claude_mem.storage.postgres import PostgresDatabase
from tests.support.databases import Storage
from tests.support.load import POLL_SECONDS, make_world, until

CUTS = 100
WRITERS = 8
ROUNDS = 10

#: Connections of the test's own database; other tests' servers listen in theirs.
LISTENING = "from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"


async def add_team(executor: Executor, name: str) -> None:
    await tenancy.create_team(executor, team_id=name, name=name, metadata=EMPTY, now_us=1)


async def teams(database: Database) -> list[str]:
    return [row["id"] for row in await tenancy.list_teams(database, after=None, limit=1000)]


async def test_an_error_undoes_everything_and_the_next_transaction_works(database: Database) -> None:
    async def half() -> None:
        async with database.transaction() as transaction:
            await add_team(transaction, "one")
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        await half()
    assert await teams(database) == []
    async with database.transaction() as transaction:
        await add_team(transaction, "two")
    assert await teams(database) == ["two"]


async def test_what_a_constraint_refuses_has_a_name(database: Database) -> None:
    world = await make_world(database)
    orphan = events.KeyedEvent(world.stored_event("event-1", project_id="absent"), "key")
    with pytest.raises(ReferenceViolation):
        await events.insert(database, [orphan])
    key: dict[str, Any] = {
        "team_id": None,
        "project_id": None,
        "actor_id": "a",
        "scopes": "[]",
        "expires_at": None,
    }
    key |= {"key_hash": "hash", "name": None, "key_prefix": None, "now": 1}
    await database.execute("keys.insert", id="key-1", **key)
    with pytest.raises(UniqueViolation):
        await database.execute("keys.insert", id="key-2", **key)


async def test_work_that_loses_is_run_again_a_bounded_number_of_times(database: Database) -> None:
    tries = 0

    async def work(transaction: Executor) -> None:
        nonlocal tries
        tries += 1
        await add_team(transaction, f"team-{tries}")
        if tries < 3:
            raise Retryable("lost")

    await run_transaction(database, work)
    assert await teams(database) == ["team-3"]

    async def hopeless(_: Executor) -> None:
        nonlocal tries
        tries += 1
        raise Retryable("lost")

    tries = 0
    with pytest.raises(Retryable):
        await run_transaction(database, hopeless)
    assert tries == TRANSACTION_ATTEMPTS


async def test_a_transaction_that_is_cancelled_leaves_nothing_behind(storage: Storage) -> None:
    """At whatever step, and again while it rolls back; with few connections, one left behind would show at once."""
    database = await storage.open(pool_max=2)
    entered, seen = 0, 0

    async def inside() -> bool:
        return entered > seen

    async def work(number: int) -> None:
        nonlocal entered
        async with database.transaction() as transaction:
            entered += 1
            for part in range(4):
                await add_team(transaction, f"cut-{number}-{part}")
            await asyncio.Event().wait()

    chance = random.Random(7)
    for number in range(CUTS):
        seen = entered
        task = asyncio.create_task(work(number))
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        if number % 2:
            await asyncio.sleep(POLL_SECONDS * chance.random())
        if number % 10 == 0:
            await until(inside, what="the transaction to begin")
        task.cancel()
        for _ in range(number % 4):
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(240), database.transaction() as transaction:
            await add_team(transaction, f"whole-{number}")
        assert await database.fetch("database.ping")
    assert sorted(await teams(database)) == sorted(f"whole-{number}" for number in range(CUTS))


async def test_statements_that_are_cancelled_disturb_no_others(database: Database) -> None:
    await make_world(database)
    chance = random.Random(11)
    for _ in range(CUTS):
        task = asyncio.create_task(teams(database))
        for _ in range(chance.randrange(30)):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert len(await teams(database)) == 2


async def test_writers_at_once_all_get_their_turn(storage: Storage) -> None:
    first, second = await storage.open(), await storage.open()
    await make_world(first)

    async def write(database: Database, writer: int) -> list[int]:
        seen = []
        for number in range(ROUNDS):
            async with database.transaction() as transaction:
                await add_team(transaction, f"team-{writer}-{number}")
                seen.append(await usage.hit(transaction, subject_id="all", window_start_us=1))
        return seen

    databases = [first if n % 2 else second for n in range(WRITERS)]
    seen = await asyncio.gather(*(write(database, n) for n, database in enumerate(databases)))
    assert sorted(count for counts in seen for count in counts) == list(range(1, WRITERS * ROUNDS + 1))
    assert len(await teams(first)) == WRITERS * ROUNDS + 2


async def test_readers_see_the_last_commit_while_a_writer_holds_on(database: Database) -> None:
    async with database.transaction() as transaction:
        await add_team(transaction, "unseen")
        assert await teams(database) == []
    assert await teams(database) == ["unseen"]


async def heard_by(database: Database) -> tuple[list[str], Callable[[], Any]]:
    heard: list[str] = []
    stop = await database.listen("news", heard.append)
    return heard, stop


async def notified(database: Database, heard: list[str], text: str) -> None:
    """Say something until it is heard: listening may have to begin anew first."""

    async def said() -> bool:
        await database.notify("news", text)
        return text in heard

    await until(said, what=f"{text!r} to be heard")


async def test_a_notification_is_heard_once_the_transaction_commits(database: Database) -> None:
    heard, stop = await heard_by(database)
    await notified(database, heard, "ready")
    heard.clear()

    async def undone() -> None:
        async with database.transaction() as transaction:
            await transaction.notify("news", "undone")
            raise ValueError("undone")

    with pytest.raises(ValueError, match="undone"):
        await undone()
    async with database.transaction() as transaction:
        await transaction.notify("news", "done")
        assert "done" not in heard
    await until(lambda: _contains(heard, "done"), what="the notification")
    assert "undone" not in heard
    await stop()
    heard.clear()
    await database.notify("news", "nobody")
    assert heard == []


async def _contains(heard: list[str], text: str) -> bool:
    return text in heard


async def test_notifications_cross_connections_and_outlive_them(postgres_storage: Storage) -> None:
    listening, speaking = await postgres_storage.open(), await postgres_storage.open()
    heard, stop = await heard_by(listening)
    await notified(speaking, heard, "before")
    cut = f"select pg_terminate_backend(pid) {LISTENING}"
    assert len(await postgres_storage.query(cut)) == 1
    await notified(speaking, heard, "after")
    await stop()
    listeners = f"select count(*) {LISTENING} and state is not null"

    async def gone() -> bool:
        return await postgres_storage.query(listeners) == [(0,)]

    await until(gone, what="the listening connection to close")
    await postgres_storage.close()


async def test_a_closed_pool_of_connections_is_made_anew(postgres_storage: Storage) -> None:
    database = await postgres_storage.open(pool_max=3)
    others = (
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and pid <> pg_backend_pid()"
    )

    async def cut_in_the_middle() -> None:
        async with database.transaction() as transaction:
            await add_team(transaction, "lost")
            await postgres_storage.query(others)
            await add_team(transaction, "lost too")

    with pytest.raises(Unavailable):
        await cut_in_the_middle()
    await add_team(database, "kept")
    assert await teams(database) == ["kept"]
    await postgres_storage.query(others)
    assert await teams(database) == ["kept"], "a read alone is asked again on a fresh connection"
    await postgres_storage.close()


async def test_waiting_for_a_connection_ends(postgres_storage: Storage) -> None:
    database: Any = await postgres_storage.open(pool_max=1)
    async with database.transaction():
        database._timeout = 0.2  # not before: to open the first connection may take longer
        with pytest.raises(Unavailable):
            async with database.transaction():
                raise AssertionError("there is no second connection")
    await postgres_storage.close()


async def test_a_statement_that_takes_too_long_is_given_up(postgres_storage: Storage) -> None:
    patient = await postgres_storage.open()
    # Long enough for the statements that make a connection, on a busy machine too.
    hurried = await postgres_storage.open(statement_timeout_ms=5_000)
    world = await make_world(patient)
    async with patient.transaction() as transaction:
        await tenancy.lock_exclusive(transaction, project_id=world.project_id, team_id=world.team_id)
        with pytest.raises(Unavailable):
            async with hurried.transaction() as other:
                await tenancy.lock_shared(other, {world.project_id})
    await postgres_storage.close()


async def test_listening_that_is_given_up_leaves_no_connection(postgres_storage: Storage) -> None:
    database = await postgres_storage.open()
    listening = asyncio.create_task(database.listen("news", print))
    await asyncio.sleep(0)
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    listeners = (
        "select count(*) from pg_stat_activity where datname = current_database() and query like 'LISTEN%'"
    )

    async def gone() -> bool:
        return await postgres_storage.query(listeners) == [(0,)]

    await until(gone, what="no listening connection")
    assert isinstance(database, PostgresDatabase)
    assert not database._listeners
    await postgres_storage.close()
