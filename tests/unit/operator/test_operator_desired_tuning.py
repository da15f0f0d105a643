"""The stores' settings follow from their memory, and not from how many pods there are."""

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


def postgres(spec: Json) -> list[Any]:
    """All that the stage of PostgreSQL has."""
    stages = {stage.name: stage for stage in desired(inputs(resource({**SHORTEST, **spec})))}
    return list(stages["postgres"].manifests)


def pool(size: int) -> list[Json]:
    return [{"name": "CLAUDE_MEM_POSTGRES_POOL_MAX", "value": str(size)}]


@pytest.mark.parametrize(
    "scaling",
    [
        {"worker": {"autoscaling": {"maxReplicas": 500}}},
        {"worker": {"autoscaling": {"enabled": False}, "replicas": 1}},
        {"worker": {"env": pool(50)}},
        {"server": {"env": pool(50), "replicas": 40}},
    ],
)
def test_no_number_of_pods_restarts_postgres(scaling: Json) -> None:
    assert postgres(scaling) == postgres({})


@pytest.mark.parametrize(("memory", "most"), [("64Mi", 300), ("1Gi", 512), ("4Gi", 2048), ("64Gi", 5000)])
def test_connections_follow_from_the_memory(memory: str, most: int) -> None:
    words = arguments("postgres", {"postgres": {"managed": {"resources": {"limits": {"memory": memory}}}}})
    assert f"max_connections={most}" in words


@pytest.mark.parametrize("memory", [64, 256, 1024, 8192, 262144])
def test_settings_fit_into_the_memory(memory: int) -> None:
    found = {
        name: int(value.removesuffix("kB")) * 1024
        for name, value in settings(memory * MIB).items()
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
