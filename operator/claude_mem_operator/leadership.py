"""Which replica acts: the holder of a Lease, as Kubernetes' own controllers do it.

A holder that cannot renew stops before others may begin. Others never compare clocks: they begin once the
Lease has not changed for its duration, by their own clock. The Lease belongs to the operator's Deployment, so that
Kubernetes collects it when the operator is uninstalled.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from claude_mem_operator.kube.errors import AlreadyExists, Conflict, Forbidden, KubeError
from claude_mem_operator.kube.kinds import DEPLOYMENT, LEASE
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from claude_mem_operator.kube.port import KubeApi, Manifest

logger = logging.getLogger(__name__)

#: Parts of the lease's duration: between two renewals, and after which a holder stops that could not renew.
RENEW_PART: Final = 1 / 5
GIVE_UP_PART: Final = 2 / 3


@dataclass(frozen=True, slots=True)
class _Seen:
    """A state of the Lease, and when it was first seen, by this process's clock."""

    record: tuple[str, str, int]
    since: float


class Leadership:
    """One replica's part in the election.

    Parameters:
        kube: may write at any time.
        identity: what the replica calls itself; made unique to this process.
        duration_s: how long the lease of a replica that vanished is respected.
        owner: the Deployment in the same namespace that the Lease goes with; empty for nobody.
        clock: seconds that never go back.
    """

    def __init__(
        self,
        kube: KubeApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        duration_s: float,
        owner: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._kube = kube
        self._ref = ObjectRef(LEASE, namespace, name)
        self.identity = f"{identity}_{uuid.uuid4()}"
        self._duration_s = duration_s
        self._owner = ObjectRef(DEPLOYMENT, namespace, owner) if owner else None
        self._clock = clock
        self._until = 0.0
        # From before each write of it: one whose answer is lost may have been done.
        self._may_hold = self._released = False
        # A look outlives the task that waits for it.
        self._lock = threading.Lock()
        self._known_owners: list[Manifest] = []
        self._seen: _Seen | None = None
        self._heartbeat = clock()

    def leading(self) -> bool:
        """Whether this replica may write at this moment."""
        return self._clock() < self._until

    def heartbeat(self) -> float:
        """When the Lease was last looked at, by the clock."""
        return self._heartbeat

    async def run(self, *, begin: Callable[[], Awaitable[None]], end: Callable[[], Awaitable[None]]) -> None:
        """Take part until cancelled; `begin` is called when this replica comes to lead, `end` when it no longer does."""
        acting = False
        try:
            while True:
                await asyncio.to_thread(self.look)
                if self.leading() and not acting:
                    logger.info("this replica leads", extra={"lease": self._ref.name})
                    acting = True
                    await begin()
                elif not self.leading() and acting:
                    logger.warning("this replica leads no more", extra={"lease": self._ref.name})
                    acting = False
                    await end()
                await asyncio.sleep(self._duration_s * RENEW_PART)
        finally:
            if acting:
                await end()

    def look(self) -> None:
        """Renew the Lease, or take it where it is free. Blocks; what cannot be done now is left to the next look.

        Does nothing once the Lease was given up.
        """
        with self._lock:
            if self._released:
                return
            began = self._clock()
            try:
                held = self._hold_or_lose()
            except KubeError as error:
                # Still leading, until the time that was granted is over.
                logger.warning("the lease cannot be looked at: %s", error)
                return
            finally:
                self._heartbeat = self._clock()
            self._until = began + self._duration_s * GIVE_UP_PART if held else 0.0

    def release(self) -> None:
        """Give the Lease up for good, so that another replica need not wait for it.

        Blocks, also for a look that is under way: that would find it free, and take it again.
        """
        with self._lock:
            self._released = True
            self._until = 0.0
            # Also where its time is over by now: others respect it longer.
            if self._may_hold:
                self._give_up()

    def _give_up(self) -> None:
        """Free the Lease; once more where an answer was lost, or where somebody, or a late renewal, wrote meanwhile."""
        began = self._clock()
        for again in (True, False):
            try:
                self._free()
            except KubeError as error:
                # Later than that it is over for others anyway.
                if again and self._clock() - began < self._duration_s:
                    continue
                logger.warning("the lease could not be given up, so others wait for its end: %s", error)
            return

    def _free(self) -> None:
        lease = self._kube.get(self._ref)
        if lease is not None and (lease.get("spec") or {}).get("holderIdentity") == self.identity:
            self._write(lease, {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()})

    def _hold_or_lose(self) -> bool:
        """Hold the Lease, also where somebody wrote to it in this moment: who annotates it does not take it."""
        try:
            return self._hold()
        except (AlreadyExists, Conflict):
            pass
        try:
            return self._hold()
        except (AlreadyExists, Conflict):
            return False

    def _hold(self) -> bool:
        lease = self._kube.get(self._ref)
        if lease is None:
            return self._make()
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        if holder == self.identity:
            self._write(lease, self._claim())
            return True
        if holder and not self._is_over(spec):
            self._may_hold = False
            return False
        taken = {"acquireTime": _now(), "leaseTransitions": int(spec.get("leaseTransitions") or 0) + 1}
        self._write(lease, {**self._claim(), **taken}, owners=self._owners())
        return True

    def _make(self) -> bool:
        """Create the Lease; not while another replica may still hold the one that somebody deleted."""
        if self._seen is not None and self._clock() - self._seen.since < self._seen.record[2]:
            return False
        lease: Manifest = {
            "apiVersion": LEASE.api_version,
            "kind": LEASE.kind,
            "metadata": {
                "name": self._ref.name,
                "namespace": self._ref.namespace,
                "ownerReferences": self._owners(),
            },
            "spec": {**self._claim(), "acquireTime": _now(), "leaseTransitions": 0},
        }
        self._may_hold = True
        self._kube.create(lease)
        return True

    def _owners(self) -> list[Manifest]:
        """The Deployment, or the one that was there last: what a replica makes that outlives it is collected, too."""
        try:
            found = None if self._owner is None else self._kube.get(self._owner)
        except Forbidden as error:
            logger.warning("the lease will be left when the operator is uninstalled: %s", error)
            found = None
        if found is not None:
            name, uid = found["metadata"]["name"], found["metadata"]["uid"]
            kind = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind}
            self._known_owners = [{**kind, "name": name, "uid": uid}]
        return self._known_owners

    def _is_over(self, spec: Manifest) -> bool:
        """Whether the Lease has not changed for its duration."""
        duration = int(spec.get("leaseDurationSeconds") or self._duration_s)
        record = (str(spec.get("holderIdentity")), str(spec.get("renewTime")), duration)
        if self._seen is None or self._seen.record != record:
            self._seen = _Seen(record, self._clock())
            return False
        return self._clock() - self._seen.since >= duration

    def _claim(self) -> Manifest:
        return {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self._duration_s)),
            "renewTime": _now(),
        }

    def _write(self, lease: Manifest, spec: Manifest, *, owners: Sequence[Manifest] = ()) -> None:
        """Change the Lease, unless somebody else just did; its owners only where there are some."""
        metadata: Manifest = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        if owners:
            metadata["ownerReferences"] = list(owners)
        self._may_hold = True
        self._kube.patch(self._ref, {"metadata": metadata, "spec": spec})


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
