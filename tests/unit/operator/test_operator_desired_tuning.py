"""The stores' settings follow from their memory and their clients, in steps that another worker does not cross."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.desired import desired
from claude_mem_operator.desired.postgres_tuning import settings
from tests.support.operator_resources import SHORTEST, Json, inputs, resource

MIB = 1024**2


def arguments(store: str, spec: Json) -> list[str]:
    stages = {stage.name: stage for stage in desired(inputs(resource({**SHORTEST, **spec})))}
    container: Any = stages[store].manifests[1]["spec"]["template"]["spec"]["containers"][0]
    words: list[str] = container["command"]
    return words


def connections(**spec: Any) -> int:
    words = arguments("postgres", spec)
    return int(next(word for word in words if word.startswith("max_connections=")).partition("=")[2])


def pool(size: int) -> list[Json]:
    return [{"name": "CLAUDE_MEM_POSTGRES_POOL_MAX", "value": str(size)}]


def test_connections_are_enough_for_every_pool_while_pods_are_replaced() -> None:
    assert connections() == 300, "twice (2 servers + 8 workers) x 10, and 20, in hundreds"
    assert connections(worker={"autoscaling": {"maxReplicas": 10}}) == 300
    assert connections(worker={"autoscaling": {"maxReplicas": 50}}) == 1100
    assert connections(worker={"autoscaling": {"enabled": False}, "replicas": 1}) == 100
    assert connections(worker={"env": pool(50)}) == 900
    assert connections(server={"env": pool(50), "replicas": 4}) == 600
    assert connections(server={"env": pool(0)}) == 300, "what means nothing counts as the default"


@pytest.mark.parametrize("memory", [64, 256, 1024, 8192, 262144])
@pytest.mark.parametrize("clients", [100, 1100])
def test_settings_fit_into_the_memory(memory: int, clients: int) -> None:
    found = {
        name: int(value.removesuffix("kB")) * 1024
        for name, value in settings(memory=memory * MIB, connections=clients).items()
        if value.endswith("kB")
    }
    assert found["shared_buffers"] == max(memory * MIB // 4, 16 * MIB)
    assert found["shared_buffers"] <= found["effective_cache_size"] < memory * MIB
    assert 4 * MIB <= found["work_mem"] <= 64 * MIB
    assert found["maintenance_work_mem"] <= max(memory * MIB // 4, 16 * MIB)


@pytest.mark.parametrize(
    ("resources", "megabytes"),
    [
        ({}, 64),
        ({"limits": {"memory": "4Gi"}}, 1024),
        ({"requests": {"memory": "512Mi"}}, 128),
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}, 512),
    ],
)
def test_buffers_are_a_quarter_of_the_limit_or_else_of_the_request(resources: Json, megabytes: int) -> None:
    words = arguments("postgres", {"postgres": {"managed": {"resources": resources}}})
    assert f"shared_buffers={megabytes * 1024}kB" in words


def test_valkey_keeps_a_quarter_of_its_memory_free_and_evicts_nothing() -> None:
    words = arguments("valkey", {"valkey": {"managed": {"resources": {"limits": {"memory": "1Gi"}}}}})
    options = dict(zip(words[4::2], words[5::2], strict=True))
    assert options == {
        "--dir": "/data",
        "--appendonly": "yes",
        "--appendfsync": "everysec",
        "--save": "",
        "--maxmemory-policy": "noeviction",
        "--maxmemory": str(768 * MIB),
    }
