"""Fixtures of the tests on Kubernetes: a control plane without nodes for most, real kind for pods."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.kind import KindCluster
from tests.support.kube.kubectl import KubectlError
from tests.support.kube.scripts import UnavailableError
from tests.support.tiers import cannot_run

#: The images that tests on kind run, as `make images` names them.
IMAGES = ("claude-mem-runtime:local", "claude-mem-operator:local")

#: Seconds for a test that may be the one that starts the cluster.
KIND_TIMEOUT_S = 900

_STARTED: list[ControlPlane | KindCluster] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")
            if "kind_cluster" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.timeout(KIND_TIMEOUT_S))


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
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    name = kind_cluster.kubectl.create_namespace(labels=labels)
    yield name
    kind_cluster.kubectl("delete", "namespace", name, "--wait=false")
