"""How far a StatefulSet, a Deployment or a Job has come, and why its pods do not start."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from claude_mem_operator.kube.kinds import JOB, STATEFUL_SET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from claude_mem_operator.kube.port import Manifest

#: States of a container that do not pass by themselves, or that show what is wrong while they last.
_FAILING: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)
#: A pod waits a moment for its volume, or for a node that is being added.
_SCHEDULING: Final = timedelta(seconds=30)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a workload is.

    `done`: everything that was last asked for is there. `opens` is what a gate waits for: the same, but one ready
    pod of the last revision is enough. `available`: something of it answers, of whatever revision. `failed` is
    final, of a Job.
    """

    done: bool
    opens: bool
    available: bool
    failed: bool = False
    replicas: int = 0
    ready: int = 0


NOTHING: Final = Progress(done=False, opens=False, available=False)


def progress(live: Manifest | None) -> Progress:
    """How far a StatefulSet, a Deployment or a Job is; `NOTHING` where there is none."""
    if live is None:
        return NOTHING
    if live["kind"] == JOB.kind:
        return _job(live)
    return _stateful_set(live) if live["kind"] == STATEFUL_SET.kind else _deployment(live)


def _job(live: Manifest) -> Progress:
    states = {one["type"]: one["status"] for one in live.get("status", {}).get("conditions", ())}
    complete = states.get("Complete") == "True"
    return Progress(done=complete, opens=complete, available=complete, failed=states.get("Failed") == "True")


def _stateful_set(live: Manifest) -> Progress:
    status = live.get("status", {})
    wanted = live["spec"].get("replicas", 1)
    ready = status.get("readyReplicas", 0)
    current = status.get("currentRevision", "") == status.get("updateRevision", "")
    done = _observed(live) and current and ready >= wanted and status.get("updatedReplicas", 0) >= wanted
    return Progress(
        done=done,
        opens=done,
        available=ready > 0,
        replicas=status.get("replicas", 0),
        ready=ready,
    )


def _deployment(live: Manifest) -> Progress:
    status = live.get("status", {})
    wanted = live["spec"].get("replicas", 1)
    available = status.get("availableReplicas", 0)
    updated = status.get("updatedReplicas", 0)
    total = status.get("replicas", 0)
    rolled = _observed(live) and updated >= wanted and total == updated
    return Progress(
        done=rolled and available >= wanted,
        opens=rolled and available >= min(1, wanted),
        available=available > 0,
        replicas=total,
        ready=status.get("readyReplicas", 0),
    )


def _observed(live: Manifest) -> bool:
    return bool(live.get("status", {}).get("observedGeneration", 0) >= live["metadata"].get("generation", 0))


def failing(pods: Iterable[Manifest], *, now: datetime) -> list[str]:
    """What keeps pods from running, one line for each pod, in words for people."""
    return [line for line in (_failure(pod, now) for pod in pods) if line is not None]


def _failure(pod: Manifest, now: datetime) -> str | None:
    name = pod["metadata"]["name"]
    status = pod.get("status", {})
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") in _FAILING:
            image = container.get("image", "")
            return f"pod {name}, container {container['name']}: {waiting['reason']} (image {image})"
    for condition in status.get("conditions", ()):
        if (
            condition["type"] == "PodScheduled"
            and condition["status"] == "False"
            and condition.get("reason") == "Unschedulable"
            and now - datetime.fromisoformat(condition["lastTransitionTime"]) > _SCHEDULING
        ):
            return f"pod {name} fits no node: {condition.get('message', '')}"
    return None


def stale_pods(live: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """Pods of a StatefulSet that are not ready and of a revision that is no longer wanted.

    The controller waits for such a pod to become ready before it makes the next, which after a bad change was
    taken back never happens: https://github.com/kubernetes/kubernetes/issues/67250.
    """
    revision = live.get("status", {}).get("updateRevision")
    if not revision or not _observed(live):
        return []
    return [
        pod
        for pod in pods
        if pod["metadata"].get("labels", {}).get("controller-revision-hash") not in (None, revision)
        and not pod["metadata"].get("deletionTimestamp")
        and not _is_ready(pod)
        and any(
            owner.get("uid") == live["metadata"]["uid"]
            for owner in pod["metadata"].get("ownerReferences", ())
        )
    ]


def _is_ready(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
