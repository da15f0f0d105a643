"""One reconcile of one resource that exists: from what is there to what is asked for, and to a status that says so."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from claude_mem_operator.admission.cautions import cautions
from claude_mem_operator.admission.judge import guard
from claude_mem_operator.api import ClaudeMemServer, InvalidResource
from claude_mem_operator.desired import desired, unserved
from claude_mem_operator.engine.apply import ImmutableField, NameConflict, StillGoing
from claude_mem_operator.engine.children import Children, Refused
from claude_mem_operator.engine.conditions import EVENTS, transitions
from claude_mem_operator.engine.deletion import FINALIZER, finalize
from claude_mem_operator.engine.events import instant, record
from claude_mem_operator.engine.observe import observe, read_children, references
from claude_mem_operator.engine.outcome import POLL_S, Outcome, pause
from claude_mem_operator.engine.status import Facts, begun, compute, deleting, invalid
from claude_mem_operator.engine.trust import unasked
from claude_mem_operator.kube.errors import (
    Conflict,
    Forbidden,
    Invalid,
    KubeError,
    NamespaceTerminating,
    NotFound,
    NotLeading,
    Unavailable,
)
from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER
from claude_mem_operator.kube.port import ObjectRef
from claude_mem_operator.logs import defect

if TYPE_CHECKING:
    from claude_mem_operator.desired import Inputs
    from claude_mem_operator.engine.conditions import EventType
    from claude_mem_operator.engine.memory import Memory
    from claude_mem_operator.engine.observe import Observation
    from claude_mem_operator.engine.reconcile import Engine
    from claude_mem_operator.kube.port import Manifest

logger = logging.getLogger(__name__)

_REASONS: Final[tuple[tuple[type[KubeError], str], ...]] = (
    (NameConflict, "NameConflict"),
    (ImmutableField, "ImmutableField"),
    (Invalid, "Rejected"),
    (Forbidden, "Forbidden"),
    (Unavailable, "ApiUnavailable"),
)


class Run:
    """One reconcile of one resource that exists."""

    def __init__(self, engine: Engine, raw: Manifest, memory: Memory) -> None:
        self._engine = engine
        self._kube = engine.kube
        self._raw = raw
        self._memory = memory
        self._generation: int = raw["metadata"]["generation"]

    def run(self) -> Outcome:
        if self._raw["metadata"].get("deletionTimestamp"):
            return self._delete()
        self._hold()
        try:
            resource = ClaudeMemServer.parse(self._raw)
        except InvalidResource as error:
            return self._refuse(str(error))
        if self._before().get("observedGeneration") != self._generation:
            self._publish(begun(self._before(), generation=self._generation, now=self._instant()))
        facts = Facts()
        failure = self._bring(resource, facts)
        status = compute(resource, facts, self._before(), now=self._instant())
        self._publish(status)
        return self._outcome(facts, status, failure)

    def _bring(self, resource: ClaudeMemServer, facts: Facts) -> KubeError | None:
        """Do the work; what went wrong is noted in `facts`, and returned if a pause may mend it."""
        try:
            self._work(resource, facts)
        except (Conflict, NamespaceTerminating, NotLeading):
            raise
        except StillGoing as error:
            facts.waiting = str(error)
        except KubeError as error:
            facts.problem = (_reason(error.first if isinstance(error, Refused) else error), str(error))
            return error
        except Exception as error:
            defect(logger, error, doing=f"bringing the children of {resource.metadata.name}")
            facts.problem = ("InternalError", "the operator's log has the details")
            return Unavailable("a defect of the operator")
        return None

    def _work(self, resource: ClaudeMemServer, facts: Facts) -> None:
        broken = guard(resource, operator_environment=self._engine.environment)
        if broken:
            facts.problem = (
                "InvalidSpec",
                f"these fields keep the workload from starting: {', '.join(broken)}",
            )
            facts.children = read_children(self._kube, resource)
            return
        seen = observe(self._kube, resource)
        facts.children = seen.children
        facts.references = frozenset((one.kind, one.name) for one in references(resource))
        self._engine.on_read(resource.metadata.uid, [self._raw, *seen.children.values()])
        inputs = self._engine.inputs(resource, seen)
        facts.warnings = _warnings(seen, inputs)
        doubts = (
            *cautions(resource, self._engine.environment),
            *unasked(resource, self._engine.environment, seen.urls),
        )
        facts.warnings += [("Questionable", words) for words in doubts]
        children = Children(
            self._kube, resource, facts, memory=self._memory, tell=self._tell, now=self._engine.now()
        )
        stages = desired(inputs)
        if resource.spec.paused:
            children.pending(stages)
        else:
            children.bring(stages)

    def _outcome(self, facts: Facts, status: Manifest, failure: KubeError | None) -> Outcome:
        phase = status["phase"]
        moving = bool(facts.waiting or facts.rolling)
        if failure is not None:
            later = pause(self._memory, self._generation, failure)
            return Outcome(
                result="problem",
                phase=phase,
                # One child is refused: the others go on as if it were not.
                requeue_s=later if isinstance(failure, Unavailable) or not moving else min(later, POLL_S),
                failed=True,
                references=facts.references,
            )
        if facts.problem is not None:
            return Outcome(
                result="problem", phase=phase, requeue_s=facts.again_s, references=facts.references
            )
        if moving:
            return Outcome(result="progressing", phase=phase, requeue_s=POLL_S, references=facts.references)
        return Outcome(result="ready", phase=phase, requeue_s=facts.again_s, references=facts.references)

    def _delete(self) -> Outcome:
        if FINALIZER in self._raw["metadata"].get("finalizers", ()):
            status = deleting(self._before(), generation=self._generation, now=self._instant())
            try:
                self._publish(status)
            except NotLeading:
                raise
            except KubeError as error:  # a status that cannot be written holds no deletion up
                logger.warning(
                    "the status cannot be written: %s", error, extra={"resource": str(self._ref())}
                )
            finalize(self._kube, self._raw, now=self._engine.now)
        return Outcome(result="deleting", phase="Deleting")

    def _refuse(self, message: str) -> Outcome:
        status = invalid(self._before(), generation=self._generation, message=message, now=self._instant())
        self._publish(status)
        return Outcome(result="problem", phase=status["phase"])

    def _hold(self) -> None:
        """Put the finalizer on, before anything is made that it is for."""
        metadata = self._raw["metadata"]
        finalizers = metadata.get("finalizers", [])
        if FINALIZER not in finalizers:
            body = {
                "metadata": {
                    "finalizers": [*finalizers, FINALIZER],
                    "resourceVersion": metadata["resourceVersion"],
                }
            }
            self._raw = self._kube.patch(self._ref(), body)

    def _publish(self, status: Manifest) -> None:
        """Write the status if it is another, and tell of what changed in it."""
        before = self._before()
        if status == before:
            return
        body = {**dict.fromkeys(before, None), **status}
        version = self._raw["metadata"]["resourceVersion"]
        try:
            self._raw = self._kube.patch_status(self._ref(), body, resource_version=version)
        except NotFound:
            return
        for reason, message in transitions(before.get("conditions", []), status.get("conditions", [])):
            if reason.event is not None:
                self._event(reason.event, reason.name, message)

    def _tell(self, reason: str, message: str) -> None:
        self._event(EVENTS[reason][0], reason, message)

    def _event(self, event: EventType, reason: str, message: str) -> None:
        record(self._kube, self._raw, event=event, reason=reason, message=message, now=self._instant())

    def _before(self) -> Manifest:
        return self._raw.get("status") or {}

    def _instant(self) -> str:
        return instant(self._engine.now())

    def _ref(self) -> ObjectRef:
        metadata = self._raw["metadata"]
        return ObjectRef(CLAUDE_MEM_SERVER, metadata["namespace"], metadata["name"])


def _reason(error: KubeError) -> str:
    return next((name for kind, name in _REASONS if isinstance(error, kind)), "Rejected")


def _warnings(seen: Observation, inputs: Inputs) -> list[tuple[str, str]]:
    missing = [
        ("ReferenceMissing", f"{one.kind} {one.name} with the key {one.key} is not there")
        for one in seen.missing
    ]
    return missing + [
        ("NotSupported", f"{path} has no effect: the cluster does not serve {api}")
        for path, api in unserved(inputs).items()
    ]
