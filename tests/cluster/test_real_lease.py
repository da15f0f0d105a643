"""The operator's Lease under Kubernetes' own garbage collector: it goes with the Deployment, whenever the replicas do."""

from __future__ import annotations

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import DEPLOYMENT, LEASE
from claude_mem_operator.kube.port import ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_operator import Installation
from tests.support.processes import wait_until

PATIENCE_S = 300.0


def test_the_lease_goes_with_the_deployment_though_a_replica_outlives_it(
    control_plane: ControlPlane, helm: Helm
) -> None:
    install_crd(control_plane.kubectl)
    api = DynamicApi(control_plane.client())
    installed = Installation(control_plane, helm, also={"Deployment"})
    lease = ObjectRef(LEASE, installed.namespace, installed.lease)
    deployment = ObjectRef(DEPLOYMENT, installed.namespace, installed.deployment)

    def identity_of(ref: ObjectRef) -> str | None:
        live = api.get(ref)
        return None if live is None else str(live["metadata"]["uid"])

    try:
        with installed.replica() as operator:
            operator.wait_until_ready()
            wait_until(lambda: operator.leads, what="it to lead", timeout=PATIENCE_S)
            held, first = api.get(lease), identity_of(lease)
            assert held is not None
            assert [one["uid"] for one in held["metadata"]["ownerReferences"]] == [identity_of(deployment)]
            api.delete(deployment)
            wait_until(lambda: identity_of(lease) != first, what="the collector", timeout=PATIENCE_S)
            assert operator.process.terminate() == 0
            assert operator.process.stderr.count("Forbidden") == 0
        wait_until(lambda: identity_of(lease) is None, what="the end of the Lease", timeout=PATIENCE_S)
    finally:
        installed.close()
