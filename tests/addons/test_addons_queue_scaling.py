"""Workers scaled by the queue: a server's own /metrics, Prometheus, prometheus-adapter with the documented rules, the HPA.

All of these are the real ones, and so is the operator, which makes the autoscaler; only kubelets are pretended. Nobody
serves processor times here, so the autoscaler may grow and never shrinks: it is not to shrink on half of its metrics.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import AUTOSCALER, DEPLOYMENT
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.http import event_body
from tests.support.kube.addons import adapter, aggregation, expose, prometheus
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kubectl import Kubectl
from tests.support.kube.scripts import ROOT
from tests.support.kube_engine import condition, provider_secret, ref_to, resource
from tests.support.kube_kubelet import PretendedKubelet
from tests.support.kube_operator import Installation
from tests.support.ports import free_port
from tests.support.processes import Process, wait_until

PATIENCE_S = 180.0
EVENTS = 20
FOR_EACH_WORKER = 4
DEPTH, AGE = "claude_mem_queue_depth", "claude_mem_queue_oldest_age_seconds"
API = "v1beta1.external.metrics.k8s.io"
#: An API for all who ask, as prometheus-adapter's own manifests register it.
REGISTRATION: Manifest = {
    "apiVersion": "apiregistration.k8s.io/v1",
    "kind": "APIService",
    "metadata": {"name": API},
    "spec": {
        "group": "external.metrics.k8s.io",
        "version": "v1beta1",
        "insecureSkipTLSVerify": True,
        "groupPriorityMinimum": 100,
        "versionPriority": 100,
    },
}


def documented(heading: str) -> Any:
    """The YAML that the page on monitoring gives under a heading, to be pasted."""
    text = (ROOT / "docs" / "how-to" / "monitoring.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$.*?^```yaml$(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    return yaml.safe_load(found[1])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("metrics")


@pytest.fixture(scope="module")
def plane(directory: Path) -> Iterator[ControlPlane]:
    hurried = ("--horizontal-pod-autoscaler-sync-period=2s",)
    with ControlPlane(api_server=aggregation(directory), controllers=hurried) as started:
        install_crd(started.kubectl)
        yield started


@pytest.fixture(scope="module")
def namespace(plane: ControlPlane) -> str:
    return plane.create_namespace()


@pytest.fixture(scope="module")
def server(directory: Path) -> Iterator[str]:
    """The URL of a server that takes events and makes nothing of them."""
    port = free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_MEM_")}
    own = {
        "CLAUDE_MEM_DATA_DIR": str(directory / "server"),
        "CLAUDE_MEM_DOCKER": "0",
        "CLAUDE_MEM_GENERATION_DISABLED": "true",
        "CLAUDE_MEM_SERVER_PORT": str(port),
    }
    command = [str(Path(sys.executable).with_name("claude-mem")), "server", "--daemon"]
    with Process(command, env=inherited | own) as process:
        url = f"http://127.0.0.1:{port}"
        process.wait_for_http(f"{url}/readyz", timeout=PATIENCE_S)
        yield url


@pytest.fixture(scope="module")
def scraping(directory: Path, server: str, namespace: str) -> Iterator[tuple[Process, str]]:
    """Prometheus, which reads the server every second, and its URL."""
    (job,) = documented("Anywhere else")["scrape_configs"]
    (target,) = job["static_configs"]
    target |= {
        "targets": [server.removeprefix("http://")],
        "labels": target["labels"] | {"namespace": namespace, "name": "memory"},
    }
    port = free_port()
    (directory / "prometheus").mkdir()
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}
    with prometheus(directory / "prometheus", port, config) as process:
        yield process, f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def served(plane: ControlPlane, directory: Path, scraping: tuple[Process, str]) -> Iterator[None]:
    """The cluster serves external metrics."""
    kubectl, port = plane.kubectl, free_port()
    within = plane.create_namespace(prefix="monitoring")
    ports = [{"name": "https", "port": 443, "targetPort": port}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "adapter"},
        "spec": {"ports": ports},
    }
    behind = {"service": {"name": "adapter", "namespace": within}}
    kubectl.apply(service, REGISTRATION | {"spec": REGISTRATION["spec"] | behind}, namespace=within)
    expose(plane, within, "adapter", port_name="https", port=port)
    rules = {"externalRules": documented("Scale by the queue")["rules"]["external"]}
    with adapter(plane, directory, port, url=scraping[1], config=rules):
        kubectl.wait(f"apiservice/{API}", "condition=Available", timeout=120)
        yield


@dataclass
class Memory:
    """A resource whose workers are scaled by the queue."""

    api: DynamicApi
    kubectl: Kubectl
    namespace: str

    def workers(self) -> int:
        """How many pods the autoscaler asks for."""
        worker = self.api.get(ObjectRef(DEPLOYMENT, self.namespace, "memory-worker"))
        return int((worker or {}).get("spec", {}).get("replicas", 0))

    def autoscaler(self) -> Manifest:
        """What the autoscaler says."""
        found = self.api.get(ObjectRef(AUTOSCALER, self.namespace, "memory-worker")) or {}
        status: Manifest = found.get("status", {})
        return status

    def seen(self) -> dict[str, Manifest]:
        """The external metrics that the autoscaler has seen, by name."""
        return {
            one["external"]["metric"]["name"]: one["external"]["current"]
            for one in self.autoscaler().get("currentMetrics") or ()
            if one["type"] == "External"
        }

    def metric(self, name: str, *, of: str = "memory") -> list[float]:
        """What the cluster answers to who asks for a metric of a resource."""
        selector = f"labelSelector=name%3D{of}%2Cnamespace%3D{self.namespace}"
        path = f"/apis/external.metrics.k8s.io/v1beta1/namespaces/{self.namespace}/{name}?{selector}"
        items = json.loads(self.kubectl("get", "--raw", path))["items"]
        return [_number(one["value"]) for one in items]


@pytest.fixture(scope="module")
def memory(plane: ControlPlane, helm: Helm, namespace: str, served: None) -> Iterator[Memory]:
    api = DynamicApi(plane.client())
    installed = Installation(plane, helm)
    scaling = {
        "minReplicas": 1,
        "maxReplicas": 8,
        "targetQueueDepth": FOR_EACH_WORKER,
        "targetQueueAgeSeconds": 86400,
    }
    with PretendedKubelet(api), installed.replica() as operator:
        operator.wait_until_ready()
        api.create(provider_secret(namespace))
        api.create(resource(namespace=namespace, worker={"autoscaling": scaling}))
        made = Memory(api, plane.kubectl, namespace)
        wait_until(made.autoscaler, what="the autoscaler", timeout=PATIENCE_S)
        yield made
        assert operator.forbidden() == []
    installed.close()


def test_workers_follow_the_depth_that_servers_tell(memory: Memory, server: str) -> None:
    wait_until(lambda: memory.metric(DEPTH) == [0], what="the metric", timeout=PATIENCE_S)
    for number in range(EVENTS):
        body = event_body("local-hook-project", contentSessionId=f"content-{number}")
        assert httpx.post(f"{server}/v1/events", json=body, timeout=30).status_code == 201
    # What the database is asked for is kept for a moment.
    wait_until(lambda: _depth(server) == EVENTS, what="the server to tell", timeout=PATIENCE_S)
    wait_until(lambda: memory.metric(DEPTH) == [EVENTS], what="the depth", timeout=PATIENCE_S)
    assert memory.metric(AGE)[0] > 0
    enough = math.ceil(EVENTS / FOR_EACH_WORKER)
    wait_until(lambda: memory.workers() == enough, what=f"{enough} workers", timeout=PATIENCE_S)
    wait_until(lambda: memory.seen().keys() == {DEPTH, AGE}, what="both metrics", timeout=PATIENCE_S)
    assert _number(memory.seen()[DEPTH]["averageValue"]) <= EVENTS


def test_the_queue_of_another_resource_is_not_this_ones(memory: Memory) -> None:
    assert memory.metric(DEPTH, of="another") == []


def test_when_nobody_knows_the_queue_the_workers_stay_and_the_status_says_why(
    memory: Memory, scraping: tuple[Process, str]
) -> None:
    def active() -> str:
        status = (memory.api.get(ref_to(namespace=memory.namespace)) or {}).get("status", {})
        return str(condition(status, "AutoscalingActive")["status"])

    wait_until(lambda: active() == "True", what="the autoscaler to be active", timeout=PATIENCE_S)
    before = memory.workers()
    scraping[0].kill()
    wait_until(lambda: active() == "False", what="the resource to tell", timeout=PATIENCE_S)
    assert memory.workers() == before


def _depth(server: str) -> float:
    """How many jobs wait, of all lanes, as a server tells."""
    text = httpx.get(f"{server}/metrics", timeout=30).text
    return sum(map(float, re.findall(rf"^{DEPTH}{{.*}} (\S+)$", text, re.MULTILINE)))


def _number(quantity: str) -> float:
    """A metric's value as Kubernetes writes it, whole or in thousandths: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/."""
    return float(quantity.removesuffix("m")) / 1000 if quantity.endswith("m") else float(quantity)
