"""The operator as a process, with the rights of its chart, real watches and a real Lease; only kubelets are pretended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import (
    CLAUDE_MEM_SERVER,
    CONFIG_MAP,
    DEPLOYMENT,
    EVENT,
    NAMESPACE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
)
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_engine import condition, provider_secret, ref_to, resource
from tests.support.kube_kubelet import PretendedKubelet
from tests.support.kube_operator import Installation, OperatorProcess
from tests.support.processes import wait_until

#: What takes a moment may take this long on a busy machine; `make bench-operator` tells how long it takes.
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[DynamicApi]:
    install_crd(control_plane.kubectl)
    with PretendedKubelet(DynamicApi(control_plane.client())):
        yield DynamicApi(control_plane.client())


@pytest.fixture(scope="module")
def installation(control_plane: ControlPlane, api: DynamicApi, helm: Helm) -> Iterator[Installation]:
    installed = Installation(control_plane, helm)
    yield installed
    installed.close()


@pytest.fixture(scope="module")
def operator(installation: Installation) -> Iterator[OperatorProcess]:
    """One replica for all tests that do not end it. It was never forbidden anything."""
    with installation.replica("shared") as process:
        process.wait_until_ready()
        yield process
        assert process.forbidden() == []
        wait_until(lambda: process.is_well, what="it to be well", timeout=PATIENCE_S)
        assert [one for one in process.log() if one["level"] == "ERROR"] == []


def status(api: DynamicApi, ref: ObjectRef) -> Manifest:
    found: Manifest = (api.get(ref) or {}).get("status", {})
    return found


def ready(api: DynamicApi, ref: ObjectRef) -> None:
    def is_ready() -> bool:
        live = api.get(ref)
        assert live is not None
        found = live.get("status", {})
        return bool(
            found.get("phase") == "Ready" and found["observedGeneration"] == live["metadata"]["generation"]
        )

    wait_until(is_ready, what=f"{ref} to be ready", timeout=PATIENCE_S)


def create(api: DynamicApi, namespace: str, name: str = "memory", **spec: object) -> ObjectRef:
    if api.get(ObjectRef(SECRET, namespace, "anthropic")) is None:
        api.create(provider_secret(namespace))
    api.create(resource(name, namespace, **spec))
    return ref_to(name, namespace)


def quick(condition: Callable[[], object], what: str) -> None:
    wait_until(condition, what=what, timeout=PATIENCE_S)


def server(namespace: str) -> ObjectRef:
    return ObjectRef(DEPLOYMENT, namespace, "memory-server")


def generation(api: DynamicApi, ref: ObjectRef) -> int:
    live = api.get(ref)
    assert live is not None
    return int(live["metadata"]["generation"])


def replicas(api: DynamicApi, ref: ObjectRef) -> int:
    live = api.get(ref)
    assert live is not None
    return int(live["spec"]["replicas"])


def test_changes_drift_and_secrets_reach_the_children_within_seconds(
    operator: OperatorProcess, api: DynamicApi, namespace: str
) -> None:
    ref = create(api, namespace)
    ready(api, ref)
    api.patch(ref, {"spec": {"server": {"replicas": 3}}})
    quick(lambda: replicas(api, server(namespace)) == 3, "a change of the resource")
    api.patch(server(namespace), {"spec": {"replicas": 9}})
    quick(lambda: replicas(api, server(namespace)) == 3, "an edit to be put back")
    for kind, name in (
        (DEPLOYMENT, "memory-server"),
        (SERVICE, "memory-server"),
        (SERVICE_ACCOUNT, "memory"),
    ):
        child = ObjectRef(kind, namespace, name)
        api.delete(child)
        quick(lambda child=child: api.get(child), f"{child} to come back")  # type: ignore[misc]
    ready(api, ref)
    worker = ObjectRef(DEPLOYMENT, namespace, "memory-worker")
    before = generation(api, worker), generation(api, server(namespace))
    api.patch(ObjectRef(SECRET, namespace, "anthropic"), {"data": {"api-key": "bmV3"}})
    quick(lambda: generation(api, worker) > before[0], "a changed Secret to roll its readers")
    ready(api, ref)
    assert generation(api, server(namespace)) == before[1], "and nobody else"

    def told() -> set[str]:
        events = api.list(EVENT, namespace)
        return {event["reason"] for event in events if event["involvedObject"]["name"] == "memory"}

    # An Event is written after the status that it tells of.
    quick(lambda: {"Ready", "Succeeded", "Available"} <= told(), "the events")


def test_a_config_map_that_is_read_wakes_its_reader_and_no_object_of_others_is_touched(
    operator: OperatorProcess, api: DynamicApi, namespace: str
) -> None:
    text = ObjectRef(CONFIG_MAP, namespace, "words")
    api.create(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "words", "namespace": namespace}}
    )
    reference = {"configMapKeyRef": {"name": "words", "key": "a"}}
    ref = create(api, namespace, server={"env": [{"name": "WORD", "valueFrom": reference}]})
    ready(api, ref)
    assert condition(status(api, ref), "ConfigurationWarning")["reason"] == "ReferenceMissing"
    api.patch(text, {"data": {"a": "b"}})
    quick(
        lambda: condition(status(api, ref), "ConfigurationWarning")["reason"] != "ReferenceMissing",
        "the warning to go",
    )
    for foreign in (text, ObjectRef(SECRET, namespace, "anthropic")):
        live = api.get(foreign)
        assert live is not None
        assert "claude-mem" not in json.dumps(live)
        assert "kopf" not in json.dumps(live)


def test_idle_it_writes_nothing(operator: OperatorProcess, api: DynamicApi, namespace: str) -> None:
    # Without an autoscaler: nobody measures anything here, and the status would tell so at some time.
    refs = [create(api, namespace, name, worker={"autoscaling": {"enabled": False}}) for name in ("a", "b")]
    for ref in refs:
        ready(api, ref)

    def others_are_ending() -> bool:
        """Whether resources of other tests are going with their namespaces, for which the operator writes."""
        ending = {
            one["metadata"]["name"] for one in api.list(NAMESPACE) if one["metadata"].get("deletionTimestamp")
        }
        return any(one["metadata"]["namespace"] in ending for one in api.list(CLAUDE_MEM_SERVER))

    quick(lambda: not others_are_ending(), "the end of other tests' resources")

    def looks() -> float:
        return sum(
            count
            for verb, kind, _, count in operator.requests()
            if (verb, kind) == ("get", str(refs[0].kind))
        )

    steady: list[tuple[float, int]] = [(time.monotonic(), operator.writes())]

    def is_steady() -> bool:
        if operator.writes() != steady[-1][1]:
            steady.append((time.monotonic(), operator.writes()))
        return time.monotonic() - steady[-1][0] > 10

    wait_until(is_steady, what="ten seconds without a write", timeout=PATIENCE_S)
    looked = looks()
    for ref in refs:  # a wake-up without a reason
        api.patch(ref, {"metadata": {"annotations": {"example.org/touched": "1"}}})
    wait_until(lambda: looks() >= looked + 2, what="both to be looked at again", timeout=PATIENCE_S)
    assert operator.writes() == steady[-1][1]


def test_the_resource_goes_and_comes_back_under_its_name(
    operator: OperatorProcess, api: DynamicApi, namespace: str
) -> None:
    ref = create(api, namespace, deletionPolicy="Delete")
    ready(api, ref)
    api.delete(ref)
    wait_until(lambda: api.get(ref) is None, what="the resource to go", timeout=PATIENCE_S)
    wait_until(lambda: api.get(server(namespace)) is None, what="its children to go", timeout=PATIENCE_S)
    create(api, namespace)
    ready(api, ref)


def test_one_that_is_wrong_is_told_and_holds_nobody_up(
    operator: OperatorProcess, api: DynamicApi, namespace: str
) -> None:
    wrong = create(
        api, namespace, "wrong", server={"env": [{"name": "CLAUDE_MEM_RUNTIME", "value": "worker"}]}
    )
    right = create(api, namespace)
    ready(api, right)
    quick(lambda: status(api, wrong).get("conditions"), "the word on the other")
    told = condition(status(api, wrong), "Ready")
    assert told["reason"] == "InvalidSpec"
    assert "spec.server.env[0]" in told["message"]


def test_a_right_to_watch_that_is_missing_is_one_error_and_is_counted(
    control_plane: ControlPlane, api: DynamicApi, helm: Helm
) -> None:
    installed = Installation(
        control_plane, helm, lacking=[("watch", "deployments"), ("list", "claudememservers")]
    )
    with installed.replica() as operator:
        operator.wait_until_ready()

        def errors(what: str) -> int:
            words = f"the operator may not {what} at the cluster scope"
            return sum(one["level"] == "ERROR" and one["message"].startswith(words) for one in operator.log())

        def refused(times: int) -> bool:
            """Whether either was refused so often: of the one, watches count, of the other, lists."""
            found = {
                (verb, kind): count for verb, kind, outcome, count in operator.requests() if outcome != "ok"
            }
            kinds = (("watch", "deployments.apps"), ("list", "claudememservers.claude-mem.dev"))
            return all(found.get(one, 0) >= times for one in kinds)

        quick(lambda: errors("watch deployments.apps"), "the watch to be an error")
        quick(lambda: errors("list claudememservers.claude-mem.dev"), "the list to be an error")
        quick(lambda: refused(5), "both to be refused again")
        # One; a machine that stood still for a minute may have made it two.
        assert errors("watch deployments.apps") < 5
        assert errors("list claudememservers.claude-mem.dev") < 5
        lists = [one["message"] for one in operator.log() if "cannot be listed" in one["message"]]
        assert len(lists) == len(set(lists)) > 0
    installed.close()
