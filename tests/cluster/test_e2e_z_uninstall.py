"""The end: the operator goes and leaves nothing of itself but the definition, and what policy keeps."""

from __future__ import annotations

from tests.cluster.conftest import Sample
from tests.support.kube.memory import PATIENCE_S
from tests.support.kube.release import NAME, NAMESPACE, Release
from tests.support.processes import wait_until

#: What belongs to no namespace and could be left.
CLUSTER_WIDE = (
    "clusterroles,clusterrolebindings,validatingwebhookconfigurations,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)


def test_no_container_was_restarted_all_the_while(shortest: Sample, release: Release) -> None:
    release.wait()
    assert shortest.memory.restarts() == {}


def test_uninstalling_leaves_nothing_of_the_operator(shortest: Sample, release: Release) -> None:
    memory = shortest.memory
    memory.delete()
    claims = memory.kubectl("--namespace", memory.namespace, "get", "pvc", "--output", "name").split()
    assert claims
    release.uninstall()
    wait_until(lambda: not release.pods(ending=True), what="the end of its pods", timeout=PATIENCE_S)
    found = release.kubectl("get", CLUSTER_WIDE, "--output", "name").split()
    assert [name for name in found if NAME in name] == []
    kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,networkpolicies,pdb,leases"

    def left() -> set[str]:
        found = release.kubectl.json("--namespace", NAMESPACE, "get", kinds)["items"]
        of_namespace = {"ConfigMap/kube-root-ca.crt", "ServiceAccount/default"}
        return {f"{one['kind']}/{one['metadata']['name']}" for one in found} - of_namespace

    # The Lease is collected after its Deployment.
    wait_until(lambda: not left(), what=f"the end of {left()}", timeout=PATIENCE_S)
    # Helm keeps the definition: with it would go every resource of its kind.
    assert "claudememservers" in release.kubectl("get", "crd", "--output", "name")
    assert memory.kubectl("--namespace", memory.namespace, "get", "pvc", "--output", "name").split() == claims
