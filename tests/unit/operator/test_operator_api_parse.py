"""Reading a resource: defaults, what is passed over, and that no document is a crash."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from claude_mem_operator.api import ClaudeMemServer, FieldProblem, InvalidResource, quantity
from tests.support.claude_mem_servers import SAMPLES, resource, sample

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["-1", "10Gi", "1e99", "100%", "$(X)", "\u0000", "\ud800", "a" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _places(document: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path to every value in a document."""
    if path:
        yield path
    if isinstance(document, dict | list):
        children = document.items() if isinstance(document, dict) else enumerate(document)
        for key, child in children:
            yield from _places(child, (*path, key))


def _put(document: Any, path: tuple[str | int, ...], value: Any) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.yaml")))
def test_samples_are_read(name: str) -> None:
    read = ClaudeMemServer.parse(sample(name))
    again = ClaudeMemServer.parse({**sample(name), "spec": read.spec.manifest()})
    assert again == read


def test_the_shortest_resource_has_every_default() -> None:
    spec = ClaudeMemServer.parse(resource()).spec
    assert spec.postgres.managed is not None
    assert spec.postgres.managed.storage == "10Gi"
    assert spec.valkey.managed is not None
    assert spec.valkey.managed.storage == "1Gi"
    assert (spec.server.replicas, spec.worker.replicas, spec.worker.concurrency) == (2, 1, 32)
    assert spec.worker.autoscaling.target_cpu_utilization_percentage == 70
    assert (spec.deletion_policy, spec.paused, spec.monitoring.enabled) == ("Retain", False, False)


def test_the_name_of_the_keys_secret_follows_the_resource() -> None:
    assert ClaudeMemServer.parse(resource()).api_key_secret_name == "team-memory-api-key"
    named = resource({"bootstrap": {"apiKeySecretName": "mine"}})
    assert ClaudeMemServer.parse(named).api_key_secret_name == "mine"


def test_shapes_of_kubernetes_come_back_as_they_were_written() -> None:
    written = sample("full")["spec"]["server"]
    read = ClaudeMemServer.parse(sample("full")).spec.server
    assert read.affinity is not None
    assert read.affinity.manifest() == written["affinity"]
    assert [one.manifest() for one in read.env] == written["env"]
    assert [one.manifest() for one in read.tolerations] == written["tolerations"]


def test_snake_case_is_no_spelling() -> None:
    with pytest.raises(InvalidResource) as refused:
        ClaudeMemServer.parse(resource({"image_pull_policy": "Always"}))
    assert [problem.path for problem in refused.value.problems] == ["spec.image_pull_policy"]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidResource) as refused:
        ClaudeMemServer.parse(resource({"server": {"replicas": -1}, "log": {"level": "LOUD"}}))
    assert str(refused.value) == (
        "spec.server.replicas: must be at least 0 (it is -1); "
        "spec.log.level: must be 'DEBUG', 'INFO', 'WARN' or 'ERROR' (it is 'LOUD')"
    )


def test_a_variables_value_is_never_shown() -> None:
    secret = "hunter2"
    wrong = {"server": {"env": [{"name": "A", "value": {"a": secret}}, {"name": "B", "value": 1234567}]}}
    with pytest.raises(InvalidResource) as refused:
        ClaudeMemServer.parse(resource(wrong))
    assert "hunter2" not in str(refused.value)
    assert "1234567" not in str(refused.value)


def test_a_status_that_another_version_wrote_is_no_obstacle() -> None:
    newer = {**resource(), "status": {"phase": "Ready", "observedGeneration": 3, "news": {"a": 1}}}
    assert ClaudeMemServer.parse(newer).status.observed_generation == 3
    older = {**resource(), "status": {"phase": "Splendid"}}
    assert ClaudeMemServer.parse(older).status.phase is None


@pytest.mark.parametrize("document", [None, [], "text", {}, {"spec": 1}, {"metadata": [], "spec": {}}])
def test_what_is_no_resource_is_refused(document: Any) -> None:
    with pytest.raises(InvalidResource):
        ClaudeMemServer.parse(document)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_changed_resource_is_read_or_refused_with_a_path(data: st.DataObject) -> None:
    document = copy.deepcopy(data.draw(st.sampled_from([sample("full"), sample("external"), resource()])))
    path = data.draw(st.sampled_from(list(_places(document))))
    _put(document, path, data.draw(JSON))
    assert all(problem.message for problem in _problems(document))


def _problems(document: Any) -> tuple[FieldProblem, ...]:
    """What is wrong with a document; an answer, whatever it is."""
    try:
        json.dumps(ClaudeMemServer.parse(document).spec.manifest())
    except InvalidResource as refused:
        return refused.problems or (FieldProblem(path="", message=""),)
    return ()


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1Gi", "1073741824"), ("1G", "1000000000"), ("1e3", "1000"), (".5", "0.5"),
     ("1E", "1000000000000000000"), ("1E2", "100"), ("0", "0"), ("100n", "0.0000001")],
)  # fmt: skip
def test_quantities_are_kubernetes_own(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "1 Gi", "-1", "1gi", "Gi", "1e999", "1.2.3", "٣"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity"):
        quantity(text)
