"""Bringing a resource's children to what they should be, stage by stage, and finding what is in the way."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired import GateKind
from claude_mem_operator.desired.names import MANAGER
from claude_mem_operator.engine.apply import Applier, ImmutableField, NameConflict, held
from claude_mem_operator.engine.prune import unwanted
from claude_mem_operator.engine.volumes import NotGrown, grow
from claude_mem_operator.engine.words import migration_failure, named
from claude_mem_operator.engine.workloads import failing, progress, stale_pods
from claude_mem_operator.kube.errors import Forbidden, Invalid, KubeError, NamespaceTerminating, NotFound
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    DEPLOYMENT,
    JOB,
    POD,
    STATEFUL_SET,
    VOLUME_CLAIM,
    ref_of,
)
from claude_mem_operator.kube.port import ObjectRef
from claude_mem_operator.logs import written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.desired import Claim, Gate, Manifest, Scale, Stage
    from claude_mem_operator.engine.memory import Memory
    from claude_mem_operator.engine.status import Facts
    from claude_mem_operator.kube.port import KubeApi

logger = logging.getLogger(__name__)

#: Sets replicas, and nothing else, so that no apply ever owns them.
SCALER: Final = f"{MANAGER}-scale"
_GATED: Final = {
    GateKind.READY: STATEFUL_SET,
    GateKind.COMPLETE: JOB,
    GateKind.AVAILABLE: DEPLOYMENT,
}
_WORKLOADS: Final = frozenset({STATEFUL_SET.kind, DEPLOYMENT.kind})
#: What says that one object is not to be had as it is, and nothing about the others.
_REFUSALS: Final = (NameConflict, ImmutableField, Invalid, Forbidden, NotFound)


class Refused(KubeError):
    """Raised when children were refused; the message has the words of each, as many as it names, and their number.

    `first` is the earliest of them: the others may only be lacking what it is.
    """

    def __init__(self, refusals: Sequence[KubeError]) -> None:
        # What is refused before the stages may be refused after them once more.
        words = list(dict.fromkeys(map(str, refusals)))
        super().__init__(words[0] if len(words) == 1 else f"{len(words)} refusals: {named(words)}")
        self.first = refusals[0]


class Children:
    """One run over the children of one resource.

    `facts` is filled while it goes, so that an error in the middle leaves what was seen until then. `tell` takes
    the reason and the words of an Event. `now` is the time at which the run began.
    """

    def __init__(
        self,
        kube: KubeApi,
        resource: ClaudeMemServer,
        facts: Facts,
        *,
        memory: Memory,
        tell: Callable[[str, str], None],
        now: datetime,
    ) -> None:
        self._kube = kube
        self._resource = resource
        self._namespace = resource.metadata.namespace
        self._facts = facts
        self._memory = memory
        self._tell = tell
        self._now = now
        self._refusals: list[KubeError] = []
        self._applier = Applier(
            kube, owner=resource.metadata, live=facts.children, unrepairable=memory.unrepairable
        )

    def bring(self, stages: Sequence[Stage]) -> None:
        """Apply what differs, delete what is not wanted, and note what is missing.

        Where one child is refused, the others are brought all the same; only what needs it is neither made nor given
        a new template. Raises Refused at the end, with all that the API server does not take, each NameConflict and
        each ImmutableField. Whatever else goes wrong is raised at once.
        """
        wanted = [manifest for stage in stages for manifest in stage.manifests]
        self._prune(wanted, settled=False)
        closed = lacking = False
        for stage in stages:
            lacking = (not self._stage(stage, closed=closed or lacking) and stage.needed) or lacking
            closed = self._is_closed(stage.gate) or closed
        self._look_at_pods(wanted)
        if not (closed or lacking or self._facts.rolling):
            self._prune(wanted, settled=True)
        if lacking:
            self._facts.waiting = None  # it would wait for what nobody makes
        if self._refusals:
            raise Refused(self._refusals)

    def pending(self, stages: Sequence[Stage]) -> None:
        """Note what `bring` would change, in words, for a resource that is paused. Writes nothing.

        Raises Refused, at the end, with each NameConflict, and StillGoing.
        """
        wanted = [manifest for stage in stages for manifest in stage.manifests]
        self._facts.pending = found = []
        for manifest in wanted:
            with self._noting_refusal():
                reason = self._applier.difference(manifest)
                if reason is not None:
                    found.append(f"{manifest['kind']} {manifest['metadata']['name']} {reason}")
        children, uid = self._facts.children, self._resource.metadata.uid
        found += [
            f"{ref.kind.kind} {ref.name} to be deleted"
            for ref in unwanted(children, wanted, uid=uid, settled=True)
            if ref.kind != JOB
        ]
        for stage in stages:
            self._is_closed(stage.gate)
        self._facts.waiting = None
        if self._refusals:
            raise Refused(self._refusals)

    def _stage(self, stage: Stage, *, closed: bool) -> bool:
        """Apply a stage's manifests, and tell whether none of them was refused."""
        refused = len(self._refusals)
        for manifest in stage.manifests:
            with self._noting_refusal():
                self._bring(manifest, closed=closed)
        if stage.scale is not None:
            with self._noting_refusal():
                self._scale(stage.scale)
        for claim in stage.claims:
            self._grow(claim)
        return len(self._refusals) == refused

    @contextmanager
    def _noting_refusal(self) -> Iterator[None]:
        try:
            yield
        except NamespaceTerminating:
            raise
        except _REFUSALS as refusal:
            self._refusals.append(refusal)

    def _bring(self, manifest: Manifest, *, closed: bool) -> None:
        live = self._applier.find(ref_of(manifest))
        if not closed:
            self._apply(manifest)
        elif live is not None:
            # What runs keeps its shape; only its template waits for what comes before.
            shaped = held(manifest, live) if manifest["kind"] in _WORKLOADS else manifest
            if shaped is not None:
                self._apply(shaped)

    def _grow(self, claim: Claim) -> None:
        refused = self._memory.refused
        try:
            grown = grow(self._kube, claim, namespace=self._namespace, refused=refused, now=self._now)
        except NotGrown as refusal:
            self._facts.warnings.append(("VolumeNotGrown", str(refusal)))
            self._facts.again_s = min(refusal.again_s, self._facts.again_s or refusal.again_s)
        else:
            if grown is not None:
                self._note(ObjectRef(VOLUME_CLAIM, self._namespace, claim.name), "to be grown")
                self._tell("VolumeGrown", grown)

    def _apply(self, manifest: Manifest) -> None:
        applied = self._applier.apply(manifest)
        if applied.reason is not None:
            self._note(ref_of(manifest), applied.reason)

    def _note(self, ref: ObjectRef, reason: str) -> None:
        written(logger, ref, reason=reason, resource=f"{self._namespace}/{self._resource.metadata.name}")

    def _scale(self, scale: Scale) -> None:
        """Set the number of pods where nobody else does.

        An autoscaler that still exists decides until it is gone: it would only undo what is set beside it.
        """
        ref = ObjectRef(DEPLOYMENT, self._namespace, scale.deployment)
        live = self._facts.children.get(ref)
        if live is None:
            return
        now = live["spec"].get("replicas", 1)
        to = scale.replicas if scale.replicas is not None else (scale.wake if now == 0 else now)
        if scale.replicas is not None and any(
            child.kind == AUTOSCALER and not one["metadata"].get("deletionTimestamp")
            for child, one in self._facts.children.items()
        ):
            return
        if to != now:
            self._kube.scale(ref, to, field_manager=SCALER)
            live["spec"]["replicas"] = to
            self._note(ref, f"scaled from {now} to {to}")

    def _is_closed(self, gate: Gate | None) -> bool:
        """Whether later stages have to wait for this one; notes what for."""
        if gate is None:
            return False
        kind = _GATED[gate.kind]
        found = progress(self._facts.children.get(ObjectRef(kind, self._namespace, gate.name)))
        if gate.kind is GateKind.COMPLETE:
            if ObjectRef(kind, self._namespace, gate.name) in self._facts.children:
                self._facts.migration, self._facts.migration_name = found, gate.name
            if found.failed and self._facts.problem is None:
                self._facts.problem = ("MigrationFailed", migration_failure(gate.name))
        if not found.opens and self._facts.waiting is None:
            self._facts.waiting = f"{kind.kind} {gate.name} is awaited"
        return not found.opens

    def _look_at_pods(self, wanted: Sequence[Manifest]) -> None:
        """Find out why workloads are not yet as asked for, and help those on that cannot go on by themselves."""
        unfinished = []
        for manifest in wanted:
            if manifest["kind"] not in _WORKLOADS and manifest["kind"] != JOB.kind:
                continue
            live = self._facts.children.get(ref_of(manifest))
            if live is not None and not progress(live).done:
                unfinished.append(live)
        self._facts.rolling = [
            f"{live['kind']} {live['metadata']['name']}" for live in unfinished if live["kind"] in _WORKLOADS
        ]
        if not unfinished:
            return
        labels = {
            "app.kubernetes.io/name": "claude-mem",
            "app.kubernetes.io/instance": self._resource.metadata.name,
        }
        pods = self._kube.list(POD, self._namespace, labels)
        self._facts.failing = failing(pods, now=self._now)
        for live in unfinished:
            if live["kind"] != STATEFUL_SET.kind:
                continue
            for pod in stale_pods(live, pods):
                ref = ObjectRef(POD, self._namespace, pod["metadata"]["name"])
                if self._kube.delete(ref, uid=pod["metadata"]["uid"]):
                    self._note(ref, "deleted: of an earlier revision and not ready")
                    self._tell(
                        "Healed", f"pod {ref.name} is of an earlier revision and was not ready: deleted"
                    )

    def _prune(self, wanted: Sequence[Manifest], *, settled: bool) -> None:
        children = self._facts.children
        going = unwanted(children, wanted, uid=self._resource.metadata.uid, settled=settled)
        for ref in going:
            with self._noting_refusal():
                # Only as long as it is the object that was read.
                if self._kube.delete(ref, uid=children[ref]["metadata"]["uid"]):
                    self._note(ref, "deleted: not asked for any more")
                del children[ref]
