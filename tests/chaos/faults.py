"""The fault test: events come in while everything is killed in turn and the provider misbehaves; then nothing more
happens, and the service has to come to rest with nothing lost and nothing twice.

The seed decides what is killed, when, and what is sent. What the machine makes of it is not repeatable; the verdict
does not depend on it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.clients import Clients
from tests.chaos.provider import FAULTS, Provider
from tests.chaos.stack import Stack
from tests.chaos.verdict import Ledger, Verdict
from tests.support.load import until

SERVERS = 2
WORKERS = 2

#: Seconds in which all has to come up, on a busy machine.
UP_S = 180.0


@dataclass(frozen=True, slots=True)
class Plan:
    """The size of a fault test.

    Parameters:
        kills: processes killed.
        pause_s: seconds between two kills, from and to.
        away_s: seconds for which PostgreSQL and Valkey stay away at most.
        misbehaves_s: seconds for which the provider keeps to one fault.
        slowest_s: seconds that a good answer takes at most.
        rest_s: seconds from the last fault to rest at most.
        variables: settings that differ from production's.
    """

    events: int
    kills: int
    flushes: int
    pause_s: tuple[float, float]
    away_s: float
    misbehaves_s: float
    slowest_s: float
    rest_s: float
    variables: dict[str, str]

    @property
    def lasts_s(self) -> float:
        """Seconds that the harm takes, about: two in five of those killed stay away, and take a while to recover."""
        return (self.kills + self.flushes) * sum(self.pause_s) / 2 + self.kills * (self.away_s / 5 + 1)


#: As in production but for the provider's patience: a call that hangs is given up before the next fault.
FULL = Plan(
    events=5_000,
    kills=24,
    flushes=2,
    pause_s=(3.0, 8.0),
    away_s=4.0,
    misbehaves_s=4.0,
    slowest_s=1.0,
    rest_s=60.0,
    variables={"CLAUDE_MEM_PROVIDER_TIMEOUT_SECONDS": "10"},
)

#: With shorter leases and pauses, so that it fits into a run of all tests. Beside them it may take long to come to rest:
#: within how many seconds it has to is for the full size, which has the machine for itself.
SMALL = Plan(
    events=300,
    kills=8,
    flushes=2,
    pause_s=(1.5, 3.0),
    away_s=1.5,
    misbehaves_s=1.5,
    slowest_s=0.5,
    rest_s=300.0,
    variables={
        "CLAUDE_MEM_PROVIDER_TIMEOUT_SECONDS": "3",
        "CLAUDE_MEM_JOB_LEASE_SECONDS": "15",
        "CLAUDE_MEM_JOB_RETRY_BASE_SECONDS": "1",
        "CLAUDE_MEM_SESSION_WINDOW_MS": "1000",
    },
)


async def run(plan: Plan, *, seed: int, directory: Path, tell: Callable[[str], None]) -> Verdict:
    """Do one fault test and judge it.

    Parameters:
        directory: for state and logs of the processes.
        tell: is given what happens, line by line.
    """
    chance = random.Random(seed)
    provider = Provider(random.Random(seed), slowest_s=plan.slowest_s)
    stack = await asyncio.to_thread(Stack, directory, chance, plan.variables)
    try:
        async with provider.llm:
            await stack.prepare(servers=SERVERS, workers=WORKERS, provider_url=provider.llm.url)
            clients = Clients(
                stack.urls, stack.key, stack.project_id, chance, pace=plan.events / plan.lasts_s
            )
            async with _kept_running(stack):
                await until(stack.is_up, what="the service to come up", timeout_s=UP_S)
                sending = asyncio.create_task(clients.send(clients.plan(plan.events)))
                await _do_harm(plan, stack, provider, chance, tell)
                last_fault = time.monotonic()
                await asyncio.wait_for(sending, plan.rest_s)
                tell(f"all is sent; in the way stood {dict(clients.troubles)}")
                ledger = Ledger(stack.database_url)
                rested = await _rest(ledger, last_fault, plan.rest_s)
                return await ledger.judge(clients, provider.calls, rested_s=rested, surprises=stack.surprises)
    finally:
        await asyncio.to_thread(stack.close)


@asynccontextmanager
async def _kept_running(stack: Stack) -> AsyncIterator[None]:
    keeping = asyncio.create_task(stack.keep_running())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _do_harm(
    plan: Plan, stack: Stack, provider: Provider, chance: random.Random, tell: Callable[[str], None]
) -> None:
    misbehaving = asyncio.create_task(_misbehave(plan, provider, tell))
    try:
        for target in _targets(plan, chance):
            await asyncio.sleep(chance.uniform(*plan.pause_s))
            tell(f"kill {await _harm(target, plan, stack, chance)}")
    finally:
        misbehaving.cancel()
        await asyncio.gather(misbehaving, return_exceptions=True)
        provider.mode = "ok"


def _targets(plan: Plan, chance: random.Random) -> list[str]:
    kinds = ("http", "worker", "postgres", "valkey", "worker", "http", "postgres")
    targets = [kinds[number % len(kinds)] for number in range(plan.kills)] + ["flush"] * plan.flushes
    chance.shuffle(targets)
    return targets


async def _harm(target: str, plan: Plan, stack: Stack, chance: random.Random) -> str:
    away_s = chance.random() * plan.away_s
    if target == "postgres":
        await stack.crash_postgres(away_s)
    elif target == "valkey":
        await stack.crash_valkey(away_s)
    elif target == "flush":
        await asyncio.to_thread(stack.valkey.flush)
    else:
        return stack.kill(target)
    return target if target == "flush" else f"{target} for {away_s:.1f} s"


async def _misbehave(plan: Plan, provider: Provider, tell: Callable[[str], None]) -> None:
    while True:
        for fault in FAULTS:
            for mode in ("ok", fault):
                provider.mode = mode
                tell(f"the provider: {mode}")
                await asyncio.sleep(plan.misbehaves_s)


async def _rest(ledger: Ledger, last_fault: float, limit_s: float) -> float | None:
    """Seconds from the last fault until no job is left to do; None when that does not come."""
    while time.monotonic() - last_fault < limit_s:
        if await ledger.open_jobs() == 0:
            return time.monotonic() - last_fault
        await asyncio.sleep(0.2)
    return None
