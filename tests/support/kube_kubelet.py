"""In the place of kubelets, on a control plane without nodes: pods become ready because this says so.

Nothing runs. Pods of Jobs succeed, all others become ready; a pod whose image contains one of `broken` is told to
be in ImagePullBackOff, or, of a Job, to have failed. The controllers above them are real, so Deployments,
StatefulSets and Jobs get there, or do not, as they would.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.kube.kinds import POD
from claude_mem_operator.kube.port import ObjectRef

#: What the migration tells when it has succeeded.
REPORT = {"teamId": "team-1", "projectId": "project-1"}
LABELS = {"app.kubernetes.io/name": "claude-mem"}


class PretendedKubelet:
    """Sets the status of the operator's pods until it is left.

    Parameters:
        api: the API server, as somebody who may do this.
        namespace: whose pods; all of them where it is None.
        interval: between two looks, in seconds.
    """

    def __init__(self, api: DynamicApi, namespace: str | None = None, *, interval: float = 0.1) -> None:
        self.broken: set[str] = set()
        self._api = api
        self._namespace = namespace
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pretended-kubelet", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def look(self) -> None:
        """Set the status of every pod that has not got the right one."""
        for pod in self._api.list(POD, self._namespace, LABELS):
            wanted = self._status(pod)
            if pod["status"].get("message") == wanted["message"] or pod["metadata"].get("deletionTimestamp"):
                continue
            if pod["status"].get("phase") in {"Succeeded", "Failed"}:
                continue
            metadata = pod["metadata"]
            try:
                self._api.patch_status(ObjectRef(POD, metadata["namespace"], metadata["name"]), wanted)
            except KubeError:  # it was deleted, or changed, in this moment: the next look sees
                continue

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                self.look()
            except KubeError:  # the API server is down for a moment
                continue

    def _status(self, pod: dict[str, Any]) -> dict[str, Any]:
        images = [container["image"] for container in pod["spec"]["containers"]]
        of_job = any(owner["kind"] == "Job" for owner in pod["metadata"].get("ownerReferences", ()))
        broken = any(part in image for part in self.broken for image in images)
        phase, ready = ("Failed" if broken else "Succeeded", False) if of_job else ("Running", not broken)
        if broken and not of_job:
            phase = "Pending"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {
            "phase": phase,
            "message": f"pretended: {phase} {ready}",
            "startTime": now,
            "conditions": [
                {"type": name, "status": str(ready), "lastTransitionTime": now}
                for name in ("Ready", "ContainersReady")
            ],
            "containerStatuses": list(_containers(pod, phase=phase, ready=ready)),
        }


def _containers(pod: dict[str, Any], *, phase: str, ready: bool) -> Iterable[dict[str, Any]]:
    states: dict[str, dict[str, Any]] = {
        "Running": {"running": {}},
        "Pending": {"waiting": {"reason": "ImagePullBackOff"}},
        "Succeeded": {"terminated": {"exitCode": 0}},
        "Failed": {"terminated": {"exitCode": 1}},
    }
    for container in pod["spec"]["containers"]:
        state = states[phase]
        if phase == "Succeeded" and container["name"] == "bootstrap":
            state = {"terminated": {"exitCode": 0, "message": json.dumps(REPORT)}}
        yield {
            "name": container["name"],
            "image": container["image"],
            "imageID": "",
            "ready": ready,
            "restartCount": 0,
            "state": state,
        }
