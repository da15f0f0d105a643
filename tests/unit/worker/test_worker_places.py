"""Places for calls: bounded, given up once however a call ends, and more of them wanted the quicker calls are."""

from __future__ import annotations

import asyncio

import pytest

from claude_mem.worker.places import AHEAD_S, RATE_S, Place, Places


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


async def entered(places: Places, count: int) -> list[Place]:
    made = [places.reserve() for _ in range(count)]
    for place in made:
        async with asyncio.timeout(60):
            await place.enter()
    return made


async def test_no_more_calls_than_places_are_under_way_at_once() -> None:
    freed: list[None] = []
    places = Places(2, freed=lambda: freed.append(None))
    first, _ = await entered(places, 2)
    third = places.reserve()
    waiting = asyncio.create_task(third.enter())
    await asyncio.sleep(0)
    assert (places.wanted, waiting.done()) == (-1, False)
    first.leave()
    await waiting
    first.leave()
    assert (places.wanted, len(freed)) == (0, 1)


async def test_who_leaves_while_waiting_gives_up_no_place() -> None:
    places = Places(1, freed=lambda: None)
    (only,) = await entered(places, 1)
    impatient = places.reserve()
    waiting = asyncio.create_task(impatient.enter())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    impatient.leave()
    assert places.wanted == 0
    only.leave()
    assert places.wanted == 1
    await entered(places, 1)


@pytest.mark.parametrize(
    ("each_s", "ahead"), [(0.001, 8), (AHEAD_S / 4, 4), (AHEAD_S, 1), (5 * AHEAD_S, 0), (30.0, 0)]
)
async def test_jobs_are_taken_ahead_as_calls_are_quick(each_s: float, ahead: int) -> None:
    clock = Clock()
    places = Places(8, freed=lambda: None, clock=clock)
    assert places.wanted == 8
    for _ in range(100):
        (place,) = await entered(places, 1)
        clock.now += each_s
        place.leave()
    assert places.wanted == 8 + ahead
    clock.now += 2 * RATE_S
    assert places.wanted == 8
