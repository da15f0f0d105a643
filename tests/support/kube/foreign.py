"""Definitions of other projects' kinds that the operator knows, with schemas that take anything.

They are there so that objects of these kinds can be made, changed and deleted. Whether the real schemas take the
operator's objects is for tests with the real ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from claude_mem_operator.kube.kinds import OPTIONAL_KINDS
from claude_mem_operator.kube.port import Kind, Manifest
from tests.support.kube.kubectl import Kubectl


@contextmanager
def foreign_kinds(kubectl: Kubectl) -> Iterator[None]:
    """A cluster that serves every optional kind, until the block is left."""
    definitions = [_definition(kind) for kind in OPTIONAL_KINDS]
    names = [f"crd/{definition['metadata']['name']}" for definition in definitions]
    kubectl.apply(*definitions)
    try:
        for name in names:
            kubectl.wait(name, "condition=Established")
        yield
    finally:
        kubectl("delete", *names)


def _definition(kind: Kind) -> Manifest:
    version = {
        "name": kind.version,
        "served": True,
        "storage": True,
        "schema": {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{kind.plural}.{kind.group}",
            # Groups of Kubernetes' own community ask for the word of who reviewed them.
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": kind.group,
            "names": {"kind": kind.kind, "plural": kind.plural, "singular": kind.kind.lower()},
            "scope": "Namespaced",
            "versions": [version],
        },
    }
