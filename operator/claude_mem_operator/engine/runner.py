"""When and where reconciles run: one at a time for a resource, few at a time in all, in threads.

Whoever notices something calls `wake`; why does not matter, and waking twice is waking once. A resource that
nothing happens to is looked at again after the resync interval.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from claude_mem_operator.engine.outcome import Outcome
from claude_mem_operator.kube.errors import NotLeading
from claude_mem_operator.logs import defect

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from claude_mem_operator.kube.port import Manifest, ObjectRef

logger = logging.getLogger(__name__)

#: What arrives within this many seconds is one wake-up: children change in bursts.
GATHERING_S: Final = 0.1
#: Over how many seconds the first look at all resources is spread, per resource and at most.
SPREAD_S: Final = 0.05
SPREAD_MOST_S: Final = 30.0
#: How long a run waits that was refused for want of the lease: until then it is held again, or the task is stopped.
LAPSED_S: Final = 2.0
#: How long a resource is left alone whose task ended by a defect.
RESTART_S: Final = 10.0


def asked_of(resource: Manifest, *, gone: bool) -> Hashable:
    """What tells a change by a resource's users from the operator's own writes to it: finalizer and status."""
    metadata = resource["metadata"]
    annotations = tuple(sorted((metadata.get("annotations") or {}).items()))
    return metadata["uid"], metadata["generation"], annotations, "deletionTimestamp" in metadata, gone


class Reconciles(Protocol):
    """What a runner runs; blocking."""

    def reconcile(self, ref: ObjectRef) -> Outcome:
        """Bring one resource a step on."""
        ...


@dataclass(slots=True)
class _Slot:
    """One resource's task and what wakes it: anything, or after a failure only a change of what it asks for."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    phase: str = ""
    asked: Hashable = None
    references: frozenset[tuple[str, str]] | None = None
    #: Since when, by the loop's clock, a run is under way; None while it waits for one, or sleeps.
    running_since: float | None = None
    waits: bool = False


class Runner:
    """Runs an engine for any number of resources, while this replica leads.

    Parameters:
        engine: what to run.
        concurrency: runs at the same time.
        resync_s: seconds between two looks at a resource that nothing happened to; up to a fifth more.
        observe: told each run's result and its seconds.
    """

    def __init__(
        self,
        engine: Reconciles,
        *,
        concurrency: int,
        resync_s: float,
        observe: Callable[[str, float], None] = lambda _result, _seconds: None,
    ) -> None:
        self._engine = engine
        self._resync_s = resync_s
        self._observe = observe
        self._limit = asyncio.Semaphore(concurrency)
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="reconcile")
        self._slots: dict[ObjectRef, _Slot] = {}
        self._active = False

    def start(self, refs: Iterable[ObjectRef]) -> None:
        """Begin to act, with these resources; later ones come by `wake`. Those that are looked after already stay so."""
        self._active = True
        for position, ref in enumerate([ref for ref in refs if ref not in self._slots]):
            self._begin(ref, delay=min(SPREAD_MOST_S, position * SPREAD_S))

    async def stop(self) -> None:
        """Stop acting. A run that is under way ends at its next write, which is refused once the lease is lost."""
        self._active = False
        tasks = [slot.task for slot in self._slots.values() if slot.task is not None]
        self._slots.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, ref: ObjectRef, *, asked: Hashable = None) -> None:
        """Look at a resource soon; also in the pause after a failure, if it asks for something else now.

        Does nothing while another replica leads.

        Parameters:
            asked: what `asked_of` says of the resource; None where something else wakes it.
        """
        if not self._active:
            return
        slot = self._slots.get(ref)
        if slot is None:
            self._begin(ref, delay=0.0)
            return
        slot.wake.set()
        if asked is not None and asked != slot.asked:
            slot.asked = asked
            slot.changed.set()

    def wake_referring(self, namespace: str, kind: str, name: str) -> None:
        """Look soon at every resource that refers to this Secret or ConfigMap, or of which that is not known yet.

        One that refers to it is not left to its pause after a failure: what it lacked may be there now.
        """
        for ref, slot in self._slots.items():
            if ref.namespace != namespace:
                continue
            if slot.references is None:
                slot.wake.set()
            elif (kind, name) in slot.references:
                slot.wake.set()
                slot.changed.set()

    def phases(self) -> Mapping[str, int]:
        """How many resources are in which phase."""
        counts: dict[str, int] = {}
        for slot in self._slots.values():
            counts[slot.phase or "Pending"] = counts.get(slot.phase or "Pending", 0) + 1
        return counts

    def queue(self) -> Mapping[str, int]:
        """How many resources wait for their run, and how many run."""
        slots = self._slots.values()
        return {
            "waiting": sum(slot.waits for slot in slots),
            "running": sum(slot.running_since is not None for slot in slots),
        }

    def longest_run(self) -> float:
        """For how many seconds the oldest run that is under way has been."""
        now = asyncio.get_running_loop().time()
        since = [slot.running_since for slot in self._slots.values() if slot.running_since is not None]
        return now - min(since) if since else 0.0

    def _begin(self, ref: ObjectRef, *, delay: float) -> None:
        slot = _Slot()
        self._slots[ref] = slot
        slot.task = asyncio.create_task(self._look_after(ref, slot, delay), name=f"resource {ref}")
        slot.task.add_done_callback(partial(self._ended, ref, slot))

    def _ended(self, ref: ObjectRef, slot: _Slot, task: asyncio.Task[None]) -> None:
        """Begin anew where a task ended by a defect: nobody else would look after its resource any more."""
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        defect(logger, error, doing=f"looking after {ref}, which is tried again in {RESTART_S:.0f} s")
        if self._slots.get(ref) is slot:
            del self._slots[ref]
            self._begin(ref, delay=RESTART_S)

    async def _look_after(self, ref: ObjectRef, slot: _Slot, delay: float) -> None:
        await asyncio.sleep(delay)
        while True:
            slot.wake.clear()
            slot.changed.clear()
            try:
                outcome = await self._run(ref, slot)
            except NotLeading:
                # A renewal may only have been late. Where the lease is lost, `stop` ends this task.
                outcome = Outcome(result="not-leading", requeue_s=LAPSED_S)
            slot.phase = outcome.phase or slot.phase
            if outcome.result == "gone" and not slot.wake.is_set():
                if self._slots.get(ref) is slot:
                    del self._slots[ref]
                return
            if outcome.references is not None:
                slot.references = outcome.references
            pause = outcome.requeue_s
            if pause is None or not outcome.failed:
                resync = self._resync_s * (1 + random.random() / 5)  # noqa: S311 - spreads load, protects nothing
                pause = resync if pause is None else min(pause, resync)
            try:
                async with asyncio.timeout(pause):
                    await (slot.changed if outcome.failed else slot.wake).wait()
                    await asyncio.sleep(GATHERING_S)
            except TimeoutError:
                continue

    async def _run(self, ref: ObjectRef, slot: _Slot) -> Outcome:
        slot.waits = True
        async with self._limit:
            slot.waits = False
            loop = asyncio.get_running_loop()
            slot.running_since = loop.time()
            began = time.perf_counter()
            result = "error"
            try:
                # Shielded: a thread cannot be cancelled, and its next write is refused once the lease is lost.
                outcome = await asyncio.shield(loop.run_in_executor(self._pool, self._engine.reconcile, ref))
                result = outcome.result
            except NotLeading:
                result = "not-leading"
                raise
            finally:
                slot.running_since = None
                self._observe(result, time.perf_counter() - began)
            return outcome

    def close(self) -> None:
        """Give up the threads."""
        self._pool.shutdown(wait=False, cancel_futures=True)
