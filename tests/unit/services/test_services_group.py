"""Group commit: everybody is served, errors reach whom they concern, and no answer is older than its question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from claude_mem.services.group import GroupCommit


class Recorder:
    """Commits when it is let, and remembers its groups."""

    def __init__(self, *, held: bool = False) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        if not held:
            self.gate.set()

    async def commit(self, items: Sequence[int]) -> Sequence[int | Exception]:
        self.groups.append(list(items))
        await self.gate.wait()
        return [ValueError(str(item)) if item < 0 else item * 2 for item in items]


def group(recorder: Recorder, *, largest: int = 64, parallel: int = 1) -> GroupCommit[int, int]:
    return GroupCommit("test", recorder.commit, largest=largest, parallel=parallel)


async def submitted(grouped: GroupCommit[int, int], *items: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(grouped.submit(item)) for item in items]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_what_arrives_meanwhile_shares_the_next_group() -> None:
    recorder = Recorder(held=True)
    grouped = group(recorder, largest=3)
    first = await submitted(grouped, 1)
    others = await submitted(grouped, 2, 3, 4, 5)
    assert recorder.groups == [[1]], "a group that has begun takes nobody in"
    recorder.gate.set()
    assert await asyncio.gather(*first, *others) == [2, 4, 6, 8, 10]
    assert recorder.groups == [[1], [2, 3, 4], [5]]


async def test_groups_run_side_by_side_up_to_the_limit() -> None:
    recorder = Recorder(held=True)
    grouped = group(recorder, largest=1, parallel=2)
    tasks = await submitted(grouped, 1, 2, 3)
    assert recorder.groups == [[1], [2]]
    recorder.gate.set()
    assert await asyncio.gather(*tasks) == [2, 4, 6]


async def test_an_error_of_one_item_is_only_its_own() -> None:
    grouped = group(Recorder())
    done = await asyncio.gather(*await submitted(grouped, 1, -2, 3), return_exceptions=True)
    assert done[0] == 2
    assert isinstance(done[1], ValueError)
    assert done[2] == 6


async def test_an_error_of_the_group_is_everybodys_and_the_next_group_works() -> None:
    calls = 0

    async def commit(items: Sequence[int]) -> Sequence[int]:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("gone")
        return list(items)

    grouped: GroupCommit[int, int] = GroupCommit("test", commit, largest=8, parallel=1)
    done = await asyncio.gather(*await submitted(grouped, 1, 2), return_exceptions=True)
    assert [type(item) for item in done] == [RuntimeError, RuntimeError]
    assert await grouped.submit(3) == 3


async def test_a_caller_who_leaves_is_served_all_the_same() -> None:
    recorder = Recorder(held=True)
    grouped = group(recorder)
    first = await submitted(grouped, 1)
    left, stayed = await submitted(grouped, 2, 3)
    left.cancel()
    recorder.gate.set()
    assert await asyncio.gather(*first, stayed) == [2, 6]
    with pytest.raises(asyncio.CancelledError):
        await left
    assert recorder.groups == [[1], [2, 3]]


async def test_nobody_is_left_standing_when_the_last_groups_end_together() -> None:
    """Each round ends every group in one step of the loop, while the next requests come in."""
    grouped = group(Recorder(), largest=1, parallel=2)

    async def client(number: int) -> None:
        for n in range(50):
            assert await grouped.submit(number * 100 + n) == (number * 100 + n) * 2
            for _ in range((number + n) % 4):
                await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await asyncio.gather(*(client(number) for number in range(6)))


async def test_a_request_right_after_the_end_of_a_group_is_taken_up() -> None:
    """Before the loop has told anybody that the group's task is done."""
    grouped = group(Recorder())
    answers: list[int] = []
    chained: list[asyncio.Task[None]] = []

    async def submit_again() -> None:
        answers.append(await grouped.submit(2))

    async def first() -> None:
        answers.append(await grouped.submit(1))
        chained.append(asyncio.create_task(submit_again()))

    async with asyncio.timeout(60):
        await first()
        await asyncio.gather(*chained)
    assert answers == [2, 4]


async def test_closing_waits_for_what_was_accepted() -> None:
    recorder = Recorder(held=True)
    grouped = group(recorder)
    tasks = await submitted(grouped, 1, 2)
    closing = asyncio.create_task(grouped.close())
    await asyncio.sleep(0)
    assert not closing.done()
    recorder.gate.set()
    await closing
    assert [task.result() for task in tasks] == [2, 4] or await asyncio.gather(*tasks) == [2, 4]
