"""Fixtures of the tests on Kubernetes: a control plane without nodes for most, real kind for pods."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.scripts import UnavailableError

_STARTED: list[ControlPlane] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("cluster")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that fails shows the control plane's logs."""
    report = yield
    if report.failed and call.when == "call":
        report.sections.extend(("control plane", started.logs()) for started in _STARTED)
    return report


def _refuse(reason: UnavailableError) -> None:
    """Fail in CI, and elsewhere skip, where this machine cannot run a cluster."""
    if os.environ.get("CI"):
        pytest.fail(str(reason))
    pytest.skip(str(reason))


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """One API server with RBAC and controllers, and no nodes, for the whole run."""
    try:
        started = ControlPlane()
    except UnavailableError as reason:
        _refuse(reason)
        raise
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
