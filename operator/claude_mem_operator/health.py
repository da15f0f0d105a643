"""Whether this replica works: what its liveness and readiness say, and whether its watches are awake.

A watch may go silent without an error. So what reconciles read is compared with what the watches told of: a
change that was read, and that no watch has told of since, makes them stale.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from claude_mem_operator.watched import is_told_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from claude_mem_operator.kube.port import Kind, Manifest

#: Seconds that a watch may be behind before the process is better started anew.
STALE_S: Final = 180.0
#: Seconds that one reconcile may take: some dozens of calls, each with a limit of its own.
STUCK_S: Final = 600.0
#: Of how many objects is remembered that a watch told of their end: more than end while one reconcile reads.
_ENDED: Final = 1000


class WatchLedger:
    """What was read and not yet told of. Safe to use from any thread.

    Versions of objects are compared as numbers, which the API server's are:
    https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._followed: frozenset[tuple[str, str]] = frozenset()
        self._told: dict[str, int] = {}
        self._ended: dict[str, None] = {}
        self._awaited: dict[str, dict[str, tuple[int, float]]] = {}

    def follow(self, kinds: Iterable[Kind]) -> None:
        """Only these kinds are watched; a kind that a cluster serves since later is left to the resync."""
        self._followed = frozenset((kind.api_version, kind.kind) for kind in kinds)

    def told(self, obj: Manifest, *, gone: bool) -> None:
        """A watch told of this state of an object, or of its end."""
        uid = obj["metadata"]["uid"]
        with self._lock:
            if gone:
                self._told.pop(uid, None)
                # Whoever read it before will not be told of it again.
                self._ended[uid] = None
                if len(self._ended) > _ENDED:
                    del self._ended[next(iter(self._ended))]
                self._awaited.pop(uid, None)
                for awaited in self._awaited.values():
                    awaited.pop(uid, None)
            else:
                self._told[uid] = max(self._told.get(uid, 0), _version(obj))
                self._ended.pop(uid, None)  # it got its label back

    def read(self, owner: str, objects: Iterable[Manifest]) -> None:
        """A reconcile of the resource with the uid `owner` read these objects.

        One that lost the label which its watch asks for is not awaited: the watch has told of its end.
        """
        now = self._clock()
        with self._lock:
            before = self._awaited.pop(owner, {})
            awaited = {
                obj["metadata"]["uid"]: (_version(obj), before.get(obj["metadata"]["uid"], (0, now))[1])
                for obj in objects
                if (obj["apiVersion"], obj["kind"]) in self._followed
                and is_told_of(obj)
                and obj["metadata"]["uid"] not in self._ended
                and self._told.get(obj["metadata"]["uid"], 0) < _version(obj)
            }
            if awaited:
                self._awaited[owner] = awaited

    def reset(self) -> None:
        """Await nothing: this replica reads no more."""
        with self._lock:
            self._awaited.clear()

    def staleness(self) -> float:
        """For how many seconds the oldest change that was read has not been told of."""
        with self._lock:
            since = [
                began
                for awaited in self._awaited.values()
                for uid, (wanted, began) in awaited.items()
                if self._told.get(uid, 0) < wanted
            ]
        return self._clock() - min(since) if since else 0.0


class Health:
    """The answers to the two probes; each is a list of what is wrong, empty where nothing is.

    `stuck_s` is how long the oldest reconcile has been under way; `heartbeat` when the lease was last looked at.
    """

    def __init__(
        self,
        *,
        ledger: WatchLedger,
        stuck_s: Callable[[], float],
        heartbeat: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._stuck_s = stuck_s
        self._heartbeat = heartbeat
        self._clock = clock
        self._awaited: set[str] = set()

    def await_(self, *parts: str) -> None:
        """Not ready before each of these was told to be `present`."""
        self._awaited.update(parts)

    def present(self, part: str) -> None:
        """One of the awaited parts is there now."""
        self._awaited.discard(part)

    def unwell(self) -> list[str]:
        """Why the process should be started anew."""
        problems = []
        if self._ledger.staleness() > STALE_S:
            problems.append(f"watches have been silent for {self._ledger.staleness():.0f} s")
        if self._stuck_s() > STUCK_S:
            problems.append(f"a reconcile has been under way for {self._stuck_s():.0f} s")
        if self._clock() - self._heartbeat() > STUCK_S:
            problems.append("the lease has not been looked at")
        return problems

    def unready(self) -> list[str]:
        """What is still missing before the API server should be sent here. Leading is not part of it."""
        return [f"{part} is awaited" for part in sorted(self._awaited)]


def _version(obj: Manifest) -> int:
    return int(obj["metadata"]["resourceVersion"])
