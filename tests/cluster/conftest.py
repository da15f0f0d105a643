"""Fixtures of the tests on Kubernetes: a control plane without nodes for most, real kind for pods."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from tests.support.checklist import Keys, make_keys
from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kind import KindCluster
from tests.support.kube.kubectl import KubectlError
from tests.support.kube.language_model import URL, LanguageModel
from tests.support.kube.memory import PATIENT, Memory, sample
from tests.support.kube.release import RESTRICTED, Release
from tests.support.kube.scripts import UnavailableError
from tests.support.tiers import cannot_run

#: The images that tests on kind run, as `make images` names them.
IMAGES = ("claude-mem-runtime:local", "claude-mem-operator:local")

#: How the names of files begin whose tests have the operator installed, and of all whose tests run on kind.
INSTALLED = "test_e2e_"
ON_KIND = (INSTALLED, "test_kind_")

#: Seconds for a test that may be the one that starts the cluster.
KIND_TIMEOUT_S = 900

#: An autoscaler's rules for one direction, under which it waits for nothing.
AT_ONCE = {
    "stabilizationWindowSeconds": 0,
    "policies": [{"type": "Pods", "value": 4, "periodSeconds": 15}],
}

_STARTED: list[ControlPlane | KindCluster] = []


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker("cluster")
    if "kind_cluster" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.timeout(KIND_TIMEOUT_S))


class Halves(LoadScopeScheduling):  # type: ignore[misc]
    """One process has all tests of the files that ask for kind, in their order; others what needs no pods."""

    def _split_scope(self, nodeid: str) -> str:
        return "kind" if Path(nodeid.partition("::")[0]).name.startswith(ON_KIND) else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    return Halves(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows what the clusters say of themselves."""
    report = yield
    if report.failed and call.when == "call":
        for started in _STARTED:
            with suppress(KubectlError):
                report.sections.append((type(started).__name__, started.report()))
    return report


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One API server with RBAC and controllers, and no nodes, for the whole run."""
    try:
        started = ControlPlane()
    except UnavailableError as reason:
        cannot_run(str(reason))
    _STARTED.append(started)
    try:
        yield started
    finally:
        _STARTED.remove(started)
        started.close()


@pytest.fixture
def namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of the control plane that is this test's alone."""
    name = control_plane.create_namespace()
    yield name
    control_plane.delete_namespace(name)


@pytest.fixture(scope="session")
def helm() -> Helm:
    """Helm, on the charts of this checkout; it talks to no cluster."""
    try:
        return Helm()
    except UnavailableError as reason:
        cannot_run(str(reason))


@pytest.fixture(scope="session")
def kind_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KindCluster]:
    """One kind cluster with metrics and a default storage class for the whole run; see CLUSTER_REUSE."""
    try:
        started = KindCluster(tmp_path_factory.mktemp("kind"))
    except UnavailableError as reason:
        cannot_run(str(reason))
    _STARTED.append(started)
    try:
        yield started
    finally:
        _STARTED.remove(started)
        started.close()


@pytest.fixture(scope="session")
def images(kind_cluster: KindCluster) -> tuple[str, ...]:
    """The project's images, in the node under the names given."""
    kind_cluster.load(*IMAGES)
    return IMAGES


@pytest.fixture
def kind_namespace(kind_cluster: KindCluster) -> Iterator[str]:
    """A namespace of the kind cluster that is this test's alone, and lets only restricted pods in."""
    name = kind_cluster.kubectl.create_namespace(labels=RESTRICTED)
    yield name
    kind_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def release(kind_cluster: KindCluster, images: tuple[str, ...]) -> Iterator[Release]:
    """The operator, installed by Helm for all namespaces; it looks at nothing that no watch tells it of."""
    values = {
        # A resync would hide an event that is missed.
        "resyncSeconds": 3600,
        # On a busy machine a review may take longer than API servers usually wait, and a connection longer than pods do:
        # those would be started anew.
        "webhook": {"timeoutSeconds": 30},
        "workloads.env": {"CLAUDE_MEM_POSTGRES_CONNECTION_TIMEOUT_MS": "30000"},
    }
    installed = Release(kind_cluster.helm, kind_cluster.kubectl, values=values)
    yield installed
    installed.uninstall()


@pytest.fixture(scope="module", autouse=True)
def well_behaved(request: pytest.FixtureRequest) -> Iterator[None]:
    """No replica was refused anything by the roles that are shipped, nor did one log an error, in the time of a module."""
    if not request.path.name.startswith(INSTALLED):
        yield
        return
    release: Release = request.getfixturevalue("release")
    yield
    assert release.refusals() == []
    assert release.complaints() == []


class Memories:
    """Memories in namespaces of their own, which end with the run."""

    def __init__(self, cluster: KindCluster) -> None:
        self._cluster = cluster
        self._made: list[Memory] = []

    def make(self, name: str) -> Memory:
        """A resource that is not there yet, in a new namespace with what it needs: a provider and its key."""
        kubectl = self._cluster.kubectl
        namespace = kubectl.create_namespace(prefix="memory", labels=RESTRICTED)
        secret = {"metadata": {"name": "anthropic"}, "stringData": {"api-key": "sk-ant-test"}}
        kubectl.apply({"apiVersion": "v1", "kind": "Secret", **secret}, namespace=namespace)
        memory = Memory(kubectl, namespace=namespace, name=name)
        self._made.append(memory)
        return memory

    def close(self) -> None:
        """Delete what is left."""
        for memory in self._made:
            if memory.api.get(memory.ref) is not None:
                memory.delete()
            memory.close()
            self._cluster.kubectl("delete", "namespace", memory.namespace, "--wait=false")


@pytest.fixture(scope="session")
def memories(kind_cluster: KindCluster, release: Release) -> Iterator[Memories]:
    """Where memories come from; the operator is there."""
    made = Memories(kind_cluster)
    yield made
    made.close()


@dataclass(frozen=True, slots=True)
class Sample:
    """The shortest sample, and in how many seconds it was Ready."""

    memory: Memory
    ready_s: float


@pytest.fixture(scope="session")
def shortest(memories: Memories) -> Sample:
    """The shortest sample, applied as it is; Ready."""
    memory = memories.make("team-memory")
    memory.create(sample("minimal"))
    return Sample(memory, memory.settle())


@pytest.fixture(scope="session")
def memory(shortest: Sample, kind_cluster: KindCluster, images: tuple[str, ...]) -> Memory:
    """The same, reached from here, with a language model behind it; what a test changes, it changes back."""
    memory = shortest.memory
    LanguageModel(kind_cluster.kubectl, memory.namespace).start(image=images[0])
    memory.patch(
        {
            "provider": {"baseUrl": URL},
            "server": {
                "service": {"type": "NodePort"},
                "resources": {"requests": {"cpu": "50m"}},
                "env": [PATIENT],
            },
            "worker": {
                "concurrency": 4,
                "resources": {"requests": {"cpu": "50m"}},
                "terminationGracePeriodSeconds": 5,
                "autoscaling": {
                    "maxReplicas": 3,
                    # Of so little, probes alone take some; and beside other work a worker may not get much more.
                    "targetCPUUtilizationPercentage": 150,
                    "behavior": {"scaleUp": AT_ONCE, "scaleDown": AT_ONCE},
                },
                "env": [
                    # Shorter than in production, and longer than a busy machine keeps a worker from its heartbeats.
                    {"name": "CLAUDE_MEM_JOB_LEASE_SECONDS", "value": "15"},
                    {"name": "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS", "value": "3"},
                    {"name": "CLAUDE_MEM_JOB_RETRY_BASE_SECONDS", "value": "1"},
                ],
            },
        }
    )
    memory.settle()
    return memory


@pytest.fixture
def model(memory: Memory, kind_cluster: KindCluster) -> Iterator[LanguageModel]:
    """The memory's language model, which a test may steer; afterwards it answers well and at once again."""
    steered = LanguageModel(kind_cluster.kubectl, memory.namespace)
    yield steered
    steered.steer()


@pytest.fixture(scope="session")
def keys(memory: Memory) -> Keys:
    """Keys of one project of the memory."""
    return make_keys(memory)
