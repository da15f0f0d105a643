"""What migrations told when they ended: the ids of the first team and project, which only the database knows.

The pod of a Job has no rights in the cluster. It leaves its report as its termination message, which the kubelet puts into
the pod's status. A pod may be gone before anybody looked; what it told is then as unknown as before it ran.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from claude_mem_operator.desired import Identities
from claude_mem_operator.desired.migration import BOOTSTRAP
from claude_mem_operator.desired.names import Component, selector
from claude_mem_operator.kube.kinds import JOB, POD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem_operator.api import ClaudeMemServer
    from claude_mem_operator.kube.port import KubeApi, Manifest, ObjectRef


def read_reports(
    kube: KubeApi, resource: ClaudeMemServer, children: Mapping[ObjectRef, Manifest]
) -> dict[str, Identities]:
    """By name of a Job among the `children`, what its pod told. Raises what the API server does."""
    jobs = {live["metadata"]["uid"]: ref.name for ref, live in children.items() if ref.kind == JOB}
    if not jobs:
        return {}
    found = {}
    for pod in kube.list(POD, resource.metadata.namespace, selector(resource, Component.MIGRATION)):
        owners = {owner["uid"] for owner in pod["metadata"].get("ownerReferences", ())}
        message = _message(pod)
        for uid in owners & jobs.keys():
            report = parse(message)
            if report is not None:
                found[jobs[uid]] = report
    return found


def parse(message: str) -> Identities | None:
    """The ids in a termination message; None where it is not a report: cut off, empty, or of another release."""
    try:
        told = json.loads(message)
    except ValueError:
        return None
    if not isinstance(told, dict):
        return None
    team, project = told.get("teamId"), told.get("projectId")
    if isinstance(team, str) and isinstance(project, str) and team and project:
        return Identities(team=team, project=project)
    return None


def _message(pod: Manifest) -> str:
    """With what its last step ended; empty where that did not succeed."""
    statuses: list[dict[str, Any]] = pod.get("status", {}).get("containerStatuses", [])
    for status in statuses:
        ended = status.get("state", {}).get("terminated") or {}
        if status["name"] == BOOTSTRAP and ended.get("exitCode") == 0:
            return str(ended.get("message", ""))
    return ""
