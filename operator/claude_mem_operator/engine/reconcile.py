"""The engine: reconciles any resource, any number of times.

Whatever happened, the same function runs, and nothing that it decides on is remembered between runs. So it may
be ended anywhere, and the next run goes on. Calls block; who runs it where and when is left to `runner`.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from claude_mem_operator.desired import Inputs, random_secret
from claude_mem_operator.engine.memory import Memory
from claude_mem_operator.engine.outcome import RACE_S, RACES, TERMINATING_S, Outcome, pause
from claude_mem_operator.engine.run import Run
from claude_mem_operator.engine.volumes import storage_of
from claude_mem_operator.kube.errors import Conflict, KubeError, NamespaceTerminating, NotLeading
from claude_mem_operator.kube.kinds import STATEFUL_SET
from claude_mem_operator.logs import defect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired import Defaults, SecretKind
    from claude_mem_operator.engine.observe import Observation
    from claude_mem_operator.kube.port import KubeApi, Manifest, ObjectRef

logger = logging.getLogger(__name__)


class Engine:
    """Reconciles resources, any number of them at the same time, each one at a time.

    `now` gives the time for conditions; `new_secret` makes generated secrets. `kube` decides who may write.
    `on_read` is told the objects that were read, with the uid of the resource, from the thread that read them; none
    once the resource is gone.
    """

    def __init__(
        self,
        kube: KubeApi,
        *,
        defaults: Defaults,
        operator_environment: Mapping[str, str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        new_secret: Callable[[SecretKind], str] = random_secret,
        on_read: Callable[[str, Iterable[Manifest]], None] = lambda _uid, _objects: None,
    ) -> None:
        self._kube = kube
        self._defaults = defaults
        self._environment = operator_environment
        self._now = now
        self._new_secret = new_secret
        self.on_read = on_read
        self._memories: dict[ObjectRef, Memory] = {}

    def reconcile(self, ref: ObjectRef) -> Outcome:
        """Bring one resource a step on.

        Errors are told in its status and come back as a pause. Waits for a run of the same resource that is still
        under way: a thread outlives its task where a lease lapsed for a moment. Raises NotLeading where this
        replica may not write any more.
        """
        while True:
            memory = self._memories.setdefault(ref, Memory())
            with memory.lock:
                if self._memories.get(ref) is memory:  # or the resource was found to be gone meanwhile
                    return self._reconcile(ref, memory)

    def _reconcile(self, ref: ObjectRef, memory: Memory) -> Outcome:
        generation: int | None = None
        try:
            raw = self._kube.get(ref)
            if raw is None:
                self.on_read(memory.uid, ())
                self._memories.pop(ref, None)
                return Outcome(result="gone")
            memory.uid = raw["metadata"]["uid"]
            generation = raw["metadata"]["generation"]
            outcome = Run(self, raw, memory).run()
        except NamespaceTerminating:
            return Outcome(result="deleting", requeue_s=TERMINATING_S)
        except Conflict as error:
            memory.races += 1
            if memory.races < RACES:
                return Outcome(result="progressing", requeue_s=RACE_S)
            return self._failed(ref, memory, generation, error)
        except NotLeading:
            raise
        except KubeError as error:
            return self._failed(ref, memory, generation, error)
        except Exception as error:
            defect(logger, error, doing=f"reconciling {ref}")
            later = memory.backoff.failed(generation=generation)
            return Outcome(result="failed", requeue_s=later, failed=True)
        memory.races = 0
        if outcome.result in {"ready", "progressing"}:
            memory.backoff.succeeded()
        return outcome

    @staticmethod
    def _failed(ref: ObjectRef, memory: Memory, generation: int | None, error: KubeError) -> Outcome:
        logger.warning("reconcile failed: %s", error, extra={"resource": str(ref)})
        return Outcome(result="failed", requeue_s=pause(memory, generation, error), failed=True)

    # What a run needs of the engine.

    @property
    def kube(self) -> KubeApi:
        """The API server."""
        return self._kube

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables that the operator gives every component."""
        return self._environment

    def now(self) -> datetime:
        """The time."""
        return self._now()

    def inputs(self, resource: ClaudeMemServer, seen: Observation) -> Inputs:
        """What the builders compute the children from."""
        return Inputs(
            resource=resource,
            defaults=self._defaults,
            new_secret=self._new_secret,
            capabilities=seen.capabilities,
            digests=seen.digests,
            generated=seen.generated,
            operator_environment=self._environment,
            observed_storage={
                ref.name: storage_of(live["spec"]["volumeClaimTemplates"][0])
                for ref, live in seen.children.items()
                if ref.kind == STATEFUL_SET and live["spec"].get("volumeClaimTemplates")
            },
            database_volume=seen.database_volume,
            reports=seen.reports,
        )
