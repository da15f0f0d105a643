"""What is made of other projects' kinds is what their own definitions take: field by field, by the API server."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from claude_mem_operator.desired import desired
from claude_mem_operator.kube.kinds import OPTIONAL_KINDS
from tests.support.helm import OPERATOR, Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube.dry_run import dry_run, lost
from tests.support.kube.foreign import foreign_kinds
from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.operator_resources import FULL, SHORTEST, Json, inputs, resource

KINDS = {kind.kind for kind in OPTIONAL_KINDS}
MONITORED: Json = {**SHORTEST, "monitoring": {"enabled": True}}
TOKEN = {
    "name": "CLAUDE_MEM_METRICS_TOKEN",
    "valueFrom": {"secretKeyRef": {"name": "metrics", "key": "token"}},
}
SPECS: dict[str, Json] = {
    "full": FULL,
    "monitored": MONITORED,
    "with a token": {**MONITORED, "server": {"env": [TOKEN]}},
    "on any host": {**SHORTEST, "server": {"httpRoute": {"parentRefs": [{"name": "gateway"}]}}},
}


@pytest.fixture(scope="module")
def kubectl(control_plane: ControlPlane) -> Iterator[Kubectl]:
    """A cluster that serves the kinds."""
    with foreign_kinds(control_plane.kubectl):
        yield control_plane.kubectl


def of_others(spec: Json, namespace: str) -> list[Any]:
    """What is made of a resource in their kinds."""
    stages = desired(inputs(resource(spec, namespace=namespace)))
    return [one for stage in stages for one in stage.manifests if one["kind"] in KINDS]


@pytest.mark.parametrize("name", SPECS)
def test_every_child_is_taken_as_it_is(kubectl: Kubectl, namespace: str, name: str) -> None:
    manifests = of_others(SPECS[name], namespace)
    assert manifests
    for manifest in manifests:
        assert lost(manifest, dry_run(kubectl, manifest)) == [], manifest["kind"]


def test_all_of_the_kinds_are_tried() -> None:
    assert {one["kind"] for spec in SPECS.values() for one in of_others(spec, "any")} == KINDS


def test_what_the_operators_chart_makes_of_them_is_taken_as_it_is(
    kubectl: Kubectl, namespace: str, helm: Helm
) -> None:
    wanted = {name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule")}
    rendered = helm.render(OPERATOR, {"metrics": wanted}, namespace=namespace)
    manifests = [one for one in rendered if one["kind"] in KINDS]
    assert {one["kind"] for one in manifests} == {"ServiceMonitor", "PrometheusRule"}
    for manifest in manifests:
        assert lost(manifest, dry_run(kubectl, manifest)) == [], manifest["kind"]


def test_their_definitions_do_refuse(kubectl: Kubectl, namespace: str) -> None:
    for manifest in of_others(FULL, namespace):
        wrong = copy.deepcopy(manifest)
        wrong["spec"]["noSuchField"] = "x"
        with pytest.raises(KubectlError, match="field not declared in schema"):
            dry_run(kubectl, wrong)
