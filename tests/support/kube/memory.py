"""One ClaudeMemServer on real kind, as its users and its keeper see it.

What is to be true of it is left to the tests; `checklist.Service` is what callers of the service need of it.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import yaml

from claude_mem_operator.desired.names import OWNER_LABEL
from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import (
    CHILD_KINDS,
    CLAUDE_MEM_SERVER,
    DEPLOYMENT,
    JOB,
    OPTIONAL_KINDS,
    POD,
    SECRET,
    SERVICE,
    STATEFUL_SET,
)
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.checklist import SERVER, WORKER
from tests.support.kube.clients import connect
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.kube.scripts import ROOT

SAMPLES = ROOT / "config" / "samples"
#: Seconds that anything may take on a busy machine: image changes, restarts of stores.
PATIENCE_S = 300.0
#: Between two looks at the API server, in seconds.
LOOK_S = 0.1
#: Seconds for an answer: more than `PATIENT` has the server wait for a job at most.
ANSWER_S = 180.0
#: A variable for servers whose callers wait for jobs: a worker may get no processor for a while.
PATIENT = {"name": "CLAUDE_MEM_WAIT_TIMEOUT_MS", "value": "120000"}
#: How often a connection that is refused is tried again: for 7.5 seconds, in ever longer steps.
CONNECT_AGAIN = 5

_COMPONENTS = {SERVER: "server", WORKER: "worker"}


class NotSoError(AssertionError):
    """Raised when a resource is not as it should be by the deadline; the message has its status."""


def sample(name: str) -> Manifest:
    """A resource of config/samples."""
    found: Manifest = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


_LITTLE = {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}}


def small() -> Manifest:
    """The shortest sample, asking for little and keeping nothing, reached from outside the cluster."""
    manifest = sample("minimal")
    manifest["spec"] |= {
        "deletionPolicy": "Delete",
        "server": {"replicas": 1, "service": {"type": "NodePort"}, **_LITTLE},
        "worker": {"autoscaling": {"enabled": False}, **_LITTLE},
        "postgres": {"managed": _LITTLE},
        "valkey": {"managed": _LITTLE},
    }
    return manifest


class Memory:
    """One resource, which may not be there yet or any more."""

    def __init__(self, kubectl: Kubectl, *, namespace: str, name: str) -> None:
        self.kubectl = kubectl
        self.api = DynamicApi(connect(kubectl.kubeconfig))
        self.ref = ObjectRef(CLAUDE_MEM_SERVER, namespace, name)
        self.namespace, self.name = namespace, name
        # A node's rules follow a Service's ready pods after a moment, in which connections are refused.
        self._client = httpx.Client(
            timeout=ANSWER_S, trust_env=False, transport=httpx.HTTPTransport(retries=CONNECT_AGAIN)
        )
        self._node = ""

    def create(self, manifest: Manifest) -> None:
        """Apply the resource, as it is but for its namespace and name."""
        metadata = {**manifest["metadata"], "namespace": self.namespace, "name": self.name}
        self.kubectl.apply({**manifest, "metadata": metadata}, namespace=self.namespace)

    def get(self) -> Manifest:
        """The resource as it is."""
        found = self.api.get(self.ref)
        assert found is not None, f"{self.ref} is not there"
        return found

    def patch(self, spec: Manifest) -> Manifest:
        """Change the spec by a merge patch; the resource after it."""
        return self.api.patch(self.ref, {"spec": spec})

    def delete(self, *, timeout: float = PATIENCE_S) -> None:
        """Delete the resource and wait until it is gone; ``timeout`` is in seconds."""
        self.api.delete(self.ref)
        self.wait(lambda: self.api.get(self.ref) is None, what="its end", timeout=timeout)

    def refusal(self, spec: Manifest) -> str:
        """Why the API server refuses a resource with this spec in its namespace; empty where it takes it.

        Nothing is stored.
        """
        manifest = {**sample("minimal"), "metadata": {"name": "judged"}, "spec": spec}
        try:
            self.kubectl(
                *("--namespace", self.namespace, "apply", "--server-side", "--dry-run=server"),
                *("--filename", "-"),
                stdin=json.dumps(manifest),
            )
        except KubectlError as error:
            return error.stderr
        return ""

    def secret(self) -> dict[str, str]:
        """What the Secret with its key holds, by name."""
        name = self.get()["status"]["apiKeySecretName"]
        found = self.api.get(ObjectRef(SECRET, self.namespace, name))
        data = (found or {}).get("data", {})
        return {key: base64.b64decode(value).decode() for key, value in data.items()}

    def condition(self, name: str) -> dict[str, Any]:
        """One of its conditions; empty where it is not told yet."""
        conditions: list[dict[str, Any]] = (self.get().get("status") or {}).get("conditions", [])
        return next((one for one in conditions if one["type"] == name), {})

    def is_settled(self) -> bool:
        """Whether its current generation is Ready and nothing is under way, also nothing that its status tells later."""
        found = self.get()
        status = found.get("status") or {}
        if status.get("observedGeneration") != found["metadata"]["generation"]:
            return False
        states = {one["type"]: one["status"] for one in status.get("conditions", [])}
        told = states.get("Ready") == "True" and states.get("Progressing") == "False"
        return told and self._is_rolled(found["metadata"]["uid"])

    def _is_rolled(self, uid: str) -> bool:
        """Whether every workload runs what it asks for, in the number it asks for, and every migration succeeded."""
        for kind in (STATEFUL_SET, DEPLOYMENT):
            for live in self.api.list(kind, self.namespace, {OWNER_LABEL: uid}):
                status, count = live.get("status", {}), live["spec"]["replicas"]
                seen = status.get("observedGeneration") == live["metadata"]["generation"]
                numbers = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "readyReplicas")}
                if not seen or numbers != {count}:
                    return False
        jobs = self.api.list(JOB, self.namespace, {OWNER_LABEL: uid})
        return all(job.get("status", {}).get("succeeded") for job in jobs)

    def settle(self, *, timeout: float = PATIENCE_S) -> float:
        """Wait until it is Ready and nothing is under way; how many seconds that took."""
        return self.wait(self.is_settled, what="Ready", timeout=timeout)

    def wait(self, condition: Callable[[], object], *, what: str, timeout: float = PATIENCE_S) -> float:
        """Wait for a condition, looking at it a few times a second; how many seconds that took.

        Raises: NotSoError.
        """
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > timeout:
                found = self.api.get(self.ref) or {}
                raise NotSoError(f"waited {timeout:g} s for {what} of {self.ref}: {found.get('status')}")
            time.sleep(LOOK_S)
        return time.monotonic() - began

    def children(self) -> dict[ObjectRef, Manifest]:
        """Every object with the label of its uid."""
        return self.children_of(self.get()["metadata"]["uid"])

    def children_of(self, uid: str) -> dict[ObjectRef, Manifest]:
        """Every object with the label of an owner, who may be gone."""
        return {
            ObjectRef(kind, self.namespace, one["metadata"]["name"]): one
            for kind in CHILD_KINDS
            if kind not in OPTIONAL_KINDS
            for one in self.api.list(kind, self.namespace, {OWNER_LABEL: uid})
        }

    def pods(self, component: str | None = None) -> list[Manifest]:
        """Its pods that are not ending, of one component or of all."""
        labels = {"app.kubernetes.io/instance": self.name}
        if component is not None:
            labels["app.kubernetes.io/component"] = component
        found = self.api.list(POD, self.namespace, labels)
        return [pod for pod in found if not pod["metadata"].get("deletionTimestamp")]

    def kill(self, component: str) -> str:
        """Have the first ready pod of a component killed at once; its name."""
        name = self._ready_pod(component)
        self.kubectl(
            *("--namespace", self.namespace, "delete", "pod", name),
            *("--grace-period=0", "--force", "--wait=false"),
        )
        return name

    def restarts(self) -> dict[str, int]:
        """How often containers were started again, of those that were, by pod."""
        return {
            pod["metadata"]["name"]: count
            for pod in self.pods()
            for count in [sum(one["restartCount"] for one in _statuses(pod))]
            if count
        }

    # The service, through its Service's port on the node.

    @property
    def url(self) -> str:
        """Where the service is reached from outside the cluster; its Service has to be a NodePort."""
        if not self._node:
            path = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}"
            self._node = self.kubectl("get", "nodes", "--output", path)
        return f"http://{self._node}:{self.service()['spec']['ports'][0]['nodePort']}"

    def service(self) -> Manifest:
        """The server's Service."""
        found = self.api.get(ObjectRef(SERVICE, self.namespace, f"{self.name}-server"))
        assert found is not None, f"{self.ref} has no Service"
        return found

    def call(self, method: str, path: str, key: str | None = None, body: object = None) -> httpx.Response:
        """One request to the service."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._client.request(method, self.url + path, headers=headers, json=body)

    def answers(self, path: str, status: int) -> bool:
        """Whether a GET has this status now; not where nobody answers."""
        try:
            return self.call("GET", path).status_code == status
        except httpx.TransportError:
            return False

    def ok(
        self, method: str, path: str, key: str | None = None, body: object = None, *, status: int = 200
    ) -> Any:
        """One request that has to succeed; its JSON."""
        answer = self.call(method, path, key, body)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json()

    def output(self, service: str, *command: str) -> str:
        """What a command writes in a pod of the server or the workers; it has to succeed."""
        pod = self._ready_pod(_COMPONENTS[service])
        return self.kubectl("--namespace", self.namespace, "exec", pod, "--", *command)

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Give the resource the spec back that it has now, however this ends."""
        before = self.get()["spec"]
        try:
            yield
        finally:
            operation = {"op": "replace", "path": "/spec", "value": before}
            self.api.patch(self.ref, [operation], patch_type="json")

    def close(self) -> None:
        """Give up the connections."""
        self._client.close()

    def _ready_pod(self, component: str) -> str:
        ready = [pod["metadata"]["name"] for pod in self.pods(component) if is_ready(pod)]
        assert ready, f"no {component} of {self.ref} is ready"
        return str(ready[0])


def is_ready(pod: Manifest) -> bool:
    """Whether a pod is ready."""
    conditions = pod.get("status", {}).get("conditions", ())
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _statuses(pod: Manifest) -> list[dict[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
