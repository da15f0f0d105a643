"""An API server in memory with a resource that can be brought up, and an engine that has done so."""

from __future__ import annotations

import pytest

from claude_mem_operator.engine.reconcile import Engine
from tests.support.kube_engine import NAMESPACE, converge, engine, provider_secret, resource
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import REF


@pytest.fixture
def api() -> MemoryApi:
    made = MemoryApi()
    made.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    made.create(provider_secret())
    made.create(resource())
    return made


@pytest.fixture
def running(api: MemoryApi) -> Engine:
    made = engine(api)
    assert converge(made, REF, settle=api.settle).result == "ready"
    api.writes.clear()
    return made
