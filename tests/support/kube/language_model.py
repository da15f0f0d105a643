"""The fake language model as a pod, so that a memory in the same namespace has a provider that a test can steer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.support import fake_llm
from tests.support.kube.kubectl import Kubectl

NAME = "fake-llm"
#: What a resource's `spec.provider.baseUrl` is; one namespace has one model.
URL = f"http://{NAME}:8080"

_RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}


class LanguageModel:
    """The fake model of a namespace, which lives as long as that."""

    def __init__(self, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    def start(self, *, image: str) -> None:
        """Start it, from an image with Python and aiohttp, as the runtime's; wait until it answers."""
        self._kubectl.apply(*_manifests(image), namespace=self._namespace)
        self._kubectl.wait(f"pod/{NAME}", "condition=Ready", namespace=self._namespace)

    def steer(self, mode: str = "ok", *, delay_ms: int = 0) -> None:
        """How it answers from now on."""
        body = json.dumps({"mode": mode, "delay_ms": delay_ms})
        self._kubectl("create", "--raw", self._path("_control"), "--filename", "-", stdin=body)

    def _path(self, path: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/services/{NAME}:8080/proxy/{path}"


def _manifests(image: str) -> list[dict[str, Any]]:
    labels = {"app": NAME}
    container = {
        "name": NAME,
        "image": image,
        "command": ["python", f"/llm/{NAME}.py", "--host", "0.0.0.0", "--port", "8080"],
        "securityContext": _RESTRICTED,
        # Once it answers it stays within reach: a busy node may keep any program from answering for a while.
        "readinessProbe": {
            "httpGet": {"path": "/_requests", "port": 8080},
            "periodSeconds": 1,
            "timeoutSeconds": 30,
            "failureThreshold": 20,
        },
        "volumeMounts": [{"name": "program", "mountPath": "/llm"}],
    }
    pod = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "program", "configMap": {"name": NAME}}],
    }
    program = Path(fake_llm.__file__).read_text(encoding="utf-8")
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": NAME},
            "data": {f"{NAME}.py": program},
        },
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": NAME, "labels": labels}, "spec": pod},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": NAME},
            "spec": {"selector": labels, "ports": [{"port": 8080}]},
        },
    ]
