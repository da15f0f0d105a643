"""The engine against a real API server and its controllers; only kubelets are pretended."""

from __future__ import annotations

import base64
import json
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from claude_mem_operator.desired.names import CONTENT_ANNOTATION, MANAGER
from claude_mem_operator.engine.apply import APPLIED
from claude_mem_operator.engine.ownership import extract, owned_fields
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    CHILD_KINDS,
    CONFIG_MAP,
    DEPLOYMENT,
    DISRUPTION_BUDGET,
    HTTP_ROUTE,
    INGRESS,
    JOB,
    NETWORK_POLICY,
    PROMETHEUS_RULE,
    SECRET,
    SERVICE,
    SERVICE_ACCOUNT,
    SERVICE_MONITOR,
    STATEFUL_SET,
)
from claude_mem_operator.kube.port import KubeApi, Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.foreign import foreign_kinds
from tests.support.kube_engine import condition, engine, provider_secret, ref_to, resource
from tests.support.kube_kubelet import REPORT, PretendedKubelet
from tests.support.kube_memory import KilledError
from tests.support.processes import WaitTimeoutError, wait_until

_JOB = re.compile("migrate-[0-9a-f]{10}")
OURS = {"app.kubernetes.io/managed-by": MANAGER}
#: Seconds for a bring-up on a busy machine.
PATIENCE_S = 300.0


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane) -> Iterator[DynamicApi]:
    install_crd(control_plane.kubectl)
    made = DynamicApi(control_plane.client())
    with PretendedKubelet(DynamicApi(control_plane.client())) as kubelet:
        kubelet.broken.add("broken")
        yield made


def ready(api: KubeApi, ref: ObjectRef, running: Engine | None = None) -> Engine:
    """Reconcile until the resource is ready, as wake-ups would have it."""
    running = running or engine(api)
    last: list[str] = []

    def done() -> bool:
        last[:] = [running.reconcile(ref).result]
        return last == ["ready"]

    try:
        wait_until(done, what=f"{ref} to be ready", timeout=PATIENCE_S)
    except WaitTimeoutError as error:
        raise WaitTimeoutError(f"{error}: {last}, {(api.get(ref) or {}).get('status')}") from None
    return running


def create(api: DynamicApi, namespace: str, **spec: Any) -> ObjectRef:
    api.create(provider_secret(namespace))
    api.create(resource(namespace=namespace, **spec))
    return ref_to(namespace=namespace)


def children(api: DynamicApi, namespace: str) -> dict[ObjectRef, Manifest]:
    return {
        ObjectRef(kind, namespace, live["metadata"]["name"]): live
        for kind in CHILD_KINDS
        if api.serves(kind)
        for live in api.list(kind, namespace, OURS)
    }


def owned(api: DynamicApi, namespace: str) -> dict[str, Any]:
    """All that the operator applied, as the server has it, without what the namespace and the uid decide."""
    uid = api.get(ref_to(namespace=namespace))["metadata"]["uid"]  # type: ignore[index]
    found = {}
    for ref, live in children(api, namespace).items():
        applied = extract(live, owned_fields(live, manager=MANAGER))
        if ref.kind == SECRET:
            applied["data"] = {
                key: base64.b64decode(value).decode() for key, value in applied["data"].items()
            }
        for digest in (APPLIED, CONTENT_ANNOTATION):
            applied["metadata"]["annotations"].pop(digest, None)
        text = json.dumps(applied, sort_keys=True).replace(uid, "UID").replace(namespace, "NAMESPACE")
        # The migration registers the key under the namespace, and its Job is named by all that it does.
        found[f"{ref.kind} {_JOB.sub('migrate-DIGEST', ref.name)}"] = text
    return found


def versions(api: DynamicApi, namespace: str) -> dict[ObjectRef, str]:
    return {ref: live["metadata"]["resourceVersion"] for ref, live in children(api, namespace).items()}


def test_it_converges_and_then_every_object_stays_as_it_is(api: DynamicApi, namespace: str) -> None:
    # Without an autoscaler: what it sees of its metrics may change at any time, and the status would tell of it.
    ref = create(api, namespace, worker={"autoscaling": {"enabled": False}})
    running = ready(api, ref)
    status = api.get(ref)["status"]  # type: ignore[index]
    assert status["phase"] == "Ready"
    assert condition(status, "Migrated")["status"] == "True"
    key = api.get(ObjectRef(SECRET, namespace, "memory-api-key"))
    assert key is not None
    told = (base64.b64decode(key["data"][name]).decode() for name in ("team-id", "project-id"))
    assert tuple(told) == tuple(REPORT.values())
    calls: list[str] = []
    api.observe = lambda verb, _kind, _outcome: calls.append(verb)
    try:
        for operator in (running, engine(api)):
            for _ in range(5):
                operator.reconcile(ref)
    finally:
        api.observe = lambda _verb, _kind, _outcome: None
    assert [verb for verb in calls if verb not in {"get", "list", "discover"}] == []


class KilledAfter:
    """An API server that answers no write any more after `writes` of them, as after a kill."""

    def __init__(self, api: DynamicApi, writes: int) -> None:
        self._api = api
        self._left = writes
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._api, name)
        if name not in {"apply", "create", "patch", "patch_status", "scale", "delete"}:
            return method

        def write(*arguments: Any, **named: Any) -> Any:
            if self._left == 0:
                raise KilledError
            self._left -= 1
            self.count += 1
            return method(*arguments, **named)

        return write


def test_killed_after_any_write_it_gets_to_the_same_end(api: DynamicApi, control_plane: ControlPlane) -> None:
    first = control_plane.create_namespace()
    counting = KilledAfter(api, 1000)
    ready(counting, create(api, first))
    reference = owned(api, first)
    children_alone = len(reference)
    assert counting.count > children_alone > 15

    def killed(k: int) -> tuple[int, dict[str, Any]]:
        namespace = control_plane.create_namespace()
        ref = create(api, namespace)
        try:
            ready(KilledAfter(api, k), ref)
        except KilledError:
            ready(api, ref)
        else:
            # Of the status there are as many writes as there were states to be seen.
            assert k > children_alone
        found = owned(api, namespace)
        control_plane.delete_namespace(namespace)
        return k, found

    with ThreadPoolExecutor(6) as pool:
        for k, found in pool.map(killed, range(counting.count)):
            assert set(found.items()) ^ set(reference.items()) == set(), f"killed after write {k}"
    control_plane.delete_namespace(first)


EDITS: list[tuple[Any, str, list[dict[str, Any]]]] = [
    (DEPLOYMENT, "server", [{"op": "replace", "path": "/spec/replicas", "value": 7}]),
    (
        DEPLOYMENT,
        "server",
        [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "evil"}],
    ),
    (DEPLOYMENT, "server", [{"op": "remove", "path": "/spec/template/spec/containers/0/env/0"}]),
    (
        DEPLOYMENT,
        "server",
        [
            {
                "op": "replace",
                "path": "/spec/template/spec/containers/0/volumeMounts/0/mountPath",
                "value": "/x",
            }
        ],
    ),
    (DEPLOYMENT, "worker", [{"op": "replace", "path": "/spec/template/spec/securityContext", "value": {}}]),
    (DEPLOYMENT, "worker", [{"op": "replace", "path": "/metadata/labels", "value": {}}]),
    (DEPLOYMENT, "worker", [{"op": "remove", "path": "/metadata/ownerReferences"}]),
    (
        STATEFUL_SET,
        "postgres",
        [{"op": "replace", "path": "/spec/template/spec/containers/0/resources", "value": {}}],
    ),
    (STATEFUL_SET, "valkey", [{"op": "replace", "path": "/spec/replicas", "value": 0}]),
    (SERVICE, "server", [{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]),
    (SERVICE, "server", [{"op": "replace", "path": "/spec/selector", "value": {"a": "b"}}]),
    (NETWORK_POLICY, "postgres", [{"op": "replace", "path": "/spec/ingress", "value": []}]),
    (AUTOSCALER, "worker", [{"op": "replace", "path": "/spec/maxReplicas", "value": 99}]),
    (DISRUPTION_BUDGET, "server", [{"op": "replace", "path": "/spec/maxUnavailable", "value": "100%"}]),
    (JOB, "migrate", [{"op": "replace", "path": "/metadata/labels", "value": {}}]),
    (SECRET, "postgres-credentials", [{"op": "replace", "path": "/metadata/labels", "value": {}}]),
    (SERVICE_ACCOUNT, "", [{"op": "replace", "path": "/automountServiceAccountToken", "value": True}]),
    (INGRESS, "server", [{"op": "replace", "path": "/spec/rules/0/host", "value": "evil.example.org"}]),
    (CONFIG_MAP, "", [{"op": "replace", "path": "/data", "value": {}}]),
    (HTTP_ROUTE, "server", [{"op": "replace", "path": "/spec/hostnames", "value": ["evil.example.org"]}]),
    (SERVICE_MONITOR, "", [{"op": "replace", "path": "/spec/endpoints", "value": []}]),
    (PROMETHEUS_RULE, "", [{"op": "remove", "path": "/spec/groups"}]),
]
#: With these there is a child of every kind.
EVERYTHING: dict[str, Any] = {
    "server": {
        "ingress": {"host": "memory.example.org"},
        "httpRoute": {"parentRefs": [{"name": "gateway"}], "hostnames": ["memory.example.org"]},
    },
    "monitoring": {"enabled": True},
}


@pytest.fixture
def everywhere(api: DynamicApi, control_plane: ControlPlane) -> Iterator[DynamicApi]:
    """A cluster with the definitions of the Gateway API and of Prometheus' operator."""
    with foreign_kinds(control_plane.kubectl):
        yield DynamicApi(control_plane.client())


def test_every_edit_is_put_back_exactly_and_every_deleted_child_comes_back(
    everywhere: DynamicApi, namespace: str
) -> None:
    api = everywhere
    ref = create(api, namespace, **EVERYTHING)
    running = ready(api, ref)
    assert {one.kind for one in children(api, namespace)} == set(CHILD_KINDS) == {kind for kind, *_ in EDITS}
    before = owned(api, namespace)
    for kind, component, operations in EDITS:
        name = next(
            one.name for one in children(api, namespace) if one.kind == kind and component in one.name
        )
        edited = ObjectRef(kind, namespace, name)
        api.patch(edited, operations, patch_type="json")
        ready(api, ref, running)
        assert owned(api, namespace) == before, f"{edited} after {operations}"
        live = api.get(edited)
        assert "evil" not in json.dumps(live)
        ready(api, ref, running)
        was = versions(api, namespace)[edited]
        running.reconcile(ref)
        if kind in (SERVICE, NETWORK_POLICY, SECRET, SERVICE_ACCOUNT):  # no controller changes these
            assert versions(api, namespace)[edited] == was
    for one in children(api, namespace):
        api.delete(one)
    ready(api, ref, running)
    assert owned(api, namespace) == before


def toggled(api: DynamicApi, ref: ObjectRef, running: Engine, change: dict[str, Any]) -> None:
    live = api.get(ref)
    assert live is not None
    before = owned(api, str(ref.namespace))
    api.patch(ref, {"spec": change})
    ready(api, ref, running)
    assert owned(api, str(ref.namespace)) != before, change
    for part in change:
        operation: dict[str, Any] = {"op": "remove", "path": f"/spec/{part}"}
        if part in live["spec"]:
            operation = {"op": "replace", "path": f"/spec/{part}", "value": live["spec"][part]}
        api.patch(ref, [operation], patch_type="json")
    ready(api, ref, running)


def test_what_is_switched_on_and_off_leaves_the_objects_of_a_fresh_resource(
    everywhere: DynamicApi, namespace: str
) -> None:
    api = everywhere
    ref = create(api, namespace)
    running = ready(api, ref)
    before = owned(api, namespace)
    url = {"urlSecretRef": {"name": "anthropic", "key": "api-key"}}
    changes: list[dict[str, Any]] = [
        EVERYTHING,
        {"valkey": {"managed": None, "external": url}},
        {"server": {"service": {"type": "NodePort", "annotations": {"a": "b"}}}},
        {"server": {"podDisruptionBudget": {"enabled": False}}},
        {"networkPolicy": {"enabled": False}},
        {
            "worker": {
                "autoscaling": {"enabled": False},
                "replicas": 3,
                "podDisruptionBudget": {"enabled": False},
            }
        },
        {
            "server": {
                "ingress": {"host": "memory.example.org"},
                "env": [{"name": "A", "value": "b"}],
                "replicas": 3,
            }
        },
        {"image": "runtime:2", "log": {"level": "DEBUG"}},
        {"postgres": {"managed": {"resources": {"limits": {"memory": "2Gi"}}}}},
    ]
    for change in changes:
        toggled(api, ref, running, change)
        assert owned(api, namespace) == before, change


def test_a_bad_image_is_taken_back_and_heals(api: DynamicApi, namespace: str) -> None:
    ref = create(api, namespace)
    running = ready(api, ref)
    before = owned(api, namespace)
    api.patch(ref, {"spec": {"postgres": {"managed": {"image": "broken/postgres:1"}}}})

    def told() -> bool:
        running.reconcile(ref)
        status = api.get(ref)["status"]  # type: ignore[index]
        return "broken/postgres:1" in condition(status, "Degraded")["message"]

    wait_until(told, what="the image to be named", timeout=PATIENCE_S)
    api.patch(ref, {"spec": {"postgres": {"managed": {"image": None}}}})
    ready(api, ref, running)
    assert owned(api, namespace) == before


def test_workers_are_scaled_through_the_resource_and_handed_over(
    api: DynamicApi, namespace: str, control_plane: ControlPlane
) -> None:
    ref = create(api, namespace, worker={"autoscaling": {"enabled": False}})
    running = ready(api, ref)
    control_plane.kubectl("--namespace", namespace, "scale", "cms/memory", "--replicas=4")
    ready(api, ref, running)
    worker = ObjectRef(DEPLOYMENT, namespace, "memory-worker")
    seen: set[int] = set()
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.01):
            seen.add((api.get(worker) or {}).get("spec", {}).get("replicas"))

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        wait_until(lambda: seen, what="the first look", timeout=PATIENCE_S)
        api.patch(ref, {"spec": {"worker": {"autoscaling": {"enabled": True}}}})
        ready(api, ref, running)
        api.patch(ref, {"spec": {"worker": {"autoscaling": {"enabled": False}}}})
        ready(api, ref, running)
    finally:
        stop.set()
        watching.join()
    assert seen == {4}


def test_deletion_keeps_what_the_policy_keeps(api: DynamicApi, namespace: str) -> None:
    ref = create(api, namespace)
    running = ready(api, ref)
    api.delete(ref)
    finish(api, ref, running)
    wait_until(
        lambda: left(api, namespace) == {"memory-postgres-credentials"},
        what="garbage collection",
        timeout=PATIENCE_S,
    )
    # A new resource of the same name takes the password over, without which the volume is of no use.
    password = api.get(ObjectRef(SECRET, namespace, "memory-postgres-credentials"))["data"]  # type: ignore[index]
    api.create(resource(namespace=namespace, deletionPolicy="Delete"))
    running = ready(api, ref, engine(api, new_secret=lambda _kind: "another"))
    taken = api.get(ObjectRef(SECRET, namespace, "memory-postgres-credentials"))
    assert taken is not None
    assert taken["data"] == password
    api.delete(ref)
    finish(api, ref, running)
    wait_until(lambda: left(api, namespace) == set(), what="everything to be gone", timeout=PATIENCE_S)


def finish(api: DynamicApi, ref: ObjectRef, running: Engine) -> None:
    def gone() -> bool:
        return running.reconcile(ref).result == "gone"

    wait_until(gone, what="the finalizer to be taken away", timeout=PATIENCE_S)


def left(api: DynamicApi, namespace: str) -> set[str]:
    return {ref.name for ref in children(api, namespace)}


def test_a_namespace_goes_with_the_resource_in_it(api: DynamicApi, control_plane: ControlPlane) -> None:
    namespace = control_plane.create_namespace()
    ref = create(api, namespace, deletionPolicy="Delete")
    running = ready(api, ref)
    control_plane.delete_namespace(namespace)

    finish(api, ref, running)
    found = control_plane.kubectl
    wait_until(
        lambda: not found("get", "namespace", namespace, "--ignore-not-found"),
        what="the namespace to go",
        timeout=PATIENCE_S,
    )
