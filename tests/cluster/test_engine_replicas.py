"""What takes a control plane of its own: an operator before its definition, API servers that go, replicas that die."""

from __future__ import annotations

import base64
import socket
import ssl
from collections.abc import Iterator

import pytest

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.kube.kinds import DEPLOYMENT, LEASE, STATEFUL_SET, WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.kube.control_plane import CUT, ControlPlane, forget_cut_connections
from tests.support.kube_engine import provider_secret, ref_to, resource
from tests.support.kube_kubelet import PretendedKubelet
from tests.support.kube_operator import Installation
from tests.support.ports import free_port
from tests.support.processes import wait_until

PATIENCE_S = 300.0

#: Longer than a busy machine keeps a replica from renewing its lease: that it does not take over unasked is looked at.
LEASE_S = "40"


@pytest.fixture(scope="module")
def plane() -> Iterator[ControlPlane]:
    with ControlPlane() as started:
        yield started


@pytest.fixture(scope="module")
def api(plane: ControlPlane) -> Iterator[DynamicApi]:
    with PretendedKubelet(DynamicApi(plane.client())):
        yield DynamicApi(plane.client())


def status(api: DynamicApi, ref: ObjectRef) -> Manifest:
    found: Manifest = (api.get(ref) or {}).get("status", {})
    return found


def create(api: DynamicApi, namespace: str) -> ObjectRef:
    api.create(provider_secret(namespace))
    api.create(resource(namespace=namespace))
    return ref_to(namespace=namespace)


def holder(api: DynamicApi, installed: Installation) -> str:
    """The name of the replica that has the lease; empty where none has it."""
    lease = api.get(ObjectRef(LEASE, installed.namespace, installed.lease))
    assert lease is not None
    return str(lease["spec"].get("holderIdentity") or "").partition("_")[0]


@pytest.mark.filterwarnings(CUT)
def test_it_waits_for_the_definition_and_survives_an_api_server_that_goes_and_comes(
    plane: ControlPlane, api: DynamicApi, helm: Helm
) -> None:
    installed = Installation(plane, helm)
    with installed.replica() as operator:
        operator.process.wait_for_line("CustomResourceDefinition", timeout=PATIENCE_S)
        wait_until(lambda: operator.is_well, what="it to be well", timeout=PATIENCE_S)
        install_crd(plane.kubectl)
        operator.wait_until_ready()
        namespace = plane.create_namespace()
        ref = create(api, namespace)
        wait_until(lambda: "phase" in status(api, ref), what="a status", timeout=PATIENCE_S)
        plane.kill_api_server()
        wait_until(lambda: "Unavailable" in operator.metrics, what="it to notice", timeout=PATIENCE_S)
        plane.start_api_server()
        postgres = ObjectRef(STATEFUL_SET, namespace, "memory-postgres")

        def deleted() -> bool:
            try:
                return api.delete(postgres)
            except KubeError:
                return False

        wait_until(deleted, what="the API server to take changes", timeout=PATIENCE_S)
        wait_until(lambda: api.get(postgres), what="the child to come back", timeout=PATIENCE_S)
        wait_until(lambda: operator.is_well, what="it to be well", timeout=PATIENCE_S)
        assert operator.process.terminate() == 0
    installed.close()
    forget_cut_connections()


def test_another_replica_takes_over_from_one_that_was_killed_and_at_once_from_one_that_ends(
    plane: ControlPlane, api: DynamicApi, helm: Helm
) -> None:
    namespace = plane.create_namespace()
    server = ObjectRef(DEPLOYMENT, namespace, "memory-server")
    install_crd(plane.kubectl)
    # Rights for one namespace only: a Role is enough.
    installed = Installation(plane, helm, namespaces=[namespace])
    with (
        installed.replica("a", LEASE_SECONDS=LEASE_S) as first,
        installed.replica("b", LEASE_SECONDS=LEASE_S) as second,
    ):
        first.wait_until_ready()
        second.wait_until_ready()
        # To be ready is not to lead, nor that anybody does yet.
        wait_until(lambda: first.leads or second.leads, what="one to lead", timeout=PATIENCE_S)
        leader, follower = (first, second) if first.leads else (second, first)
        ref = create(api, namespace)
        wait_until(
            lambda: status(api, ref).get("phase") == "Ready", what="it to be ready", timeout=PATIENCE_S
        )
        assert follower.writes() == 0
        assert leader.forbidden() == follower.forbidden() == []
        leader.process.kill()
        api.delete(server)
        wait_until(lambda: api.get(server), what="the other to act", timeout=PATIENCE_S)
        wait_until(lambda: follower.leads, what="it to say so", timeout=PATIENCE_S)
        with installed.replica("c", LEASE_SECONDS=LEASE_S) as third:
            third.wait_until_ready()
            assert follower.process.terminate() == 0
            # At once, without the lease's time: the one that ended gave it up.
            assert holder(api, installed) in {"", "c"}
            api.delete(server)
            wait_until(lambda: api.get(server), what="the third to act", timeout=PATIENCE_S)
            assert third.forbidden() == []
    installed.close()


def test_the_webhook_serves_before_the_replica_is_ready_under_a_certificate_that_is_published(
    plane: ControlPlane, api: DynamicApi, helm: Helm
) -> None:
    install_crd(plane.kubectl)
    installed = Installation(plane, helm, webhook=True)
    port = free_port()
    with installed.replica(LISTEN_WEBHOOK=str(port), **installed.webhook_settings) as operator:
        operator.wait_until_ready()
        configuration = api.get(ObjectRef(WEBHOOK_CONFIGURATION, None, installed.name))
        assert configuration is not None
        bundle = configuration["webhooks"][0]["clientConfig"]["caBundle"]
        authority = base64.b64decode(bundle).decode()
        context = ssl.create_default_context(cadata=authority)
        name = f"{installed.webhook_settings['WEBHOOK_SERVICE']}.{installed.namespace}.svc"
        with (
            socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            assert secure.version() in {"TLSv1.2", "TLSv1.3"}
        assert "claude_mem_operator_certificate_expiry_timestamp_seconds 0.0" not in operator.metrics
        assert operator.forbidden() == []
        assert operator.process.terminate() == 0
    installed.close()
