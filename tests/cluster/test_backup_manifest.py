"""config/backup.yaml on a real API server, in a namespace that takes no pod beyond `restricted`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.backup import BACKUP, NAME, pod
from tests.support.kube.control_plane import ControlPlane


@pytest.fixture
def restricted(control_plane: ControlPlane) -> Iterator[str]:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    name = control_plane.kubectl.create_namespace(prefix="backup", labels=labels)
    yield name
    control_plane.delete_namespace(name)


def test_it_applies_as_it_stands_and_a_pod_of_it_is_admitted(
    control_plane: ControlPlane, restricted: str
) -> None:
    kubectl = control_plane.kubectl
    applied = kubectl("-n", restricted, "apply", "--filename", str(BACKUP))
    assert {line.split()[0] for line in applied.splitlines()} == {
        f"persistentvolumeclaim/{NAME}-backups",
        f"networkpolicy.networking.k8s.io/{NAME}-backup",
        f"cronjob.batch/{NAME}-backup",
    }
    template = pod()
    metadata = {**template["metadata"], "name": "now", "namespace": restricted}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
    kubectl.apply(manifest, namespace=restricted)
    kubectl("-n", restricted, "create", "job", f"--from=cronjob/{NAME}-backup", f"{NAME}-backup-first")
