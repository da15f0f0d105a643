"""Which applied fields are lost, by what an API server notes about who set them."""

from __future__ import annotations

from typing import Any

import pytest

from claude_mem_operator.engine.ownership import lost_field
from claude_mem_operator.kube.port import Manifest

MANAGER = "operator"
RULE: Manifest = {
    "apiVersion": "v1",
    "kind": "Rule",
    "metadata": {"name": "a", "labels": {"c": "d"}},
    "spec": {"groups": [{"name": "b"}]},
}


def live(spec: Any, fields: Manifest) -> Manifest:
    owned = {"f:metadata": {"f:labels": {"f:c": {}}}, **fields}
    entry = {"manager": MANAGER, "operation": "Apply", "apiVersion": "v1", "fieldsV1": owned}
    return {**RULE, "metadata": {**RULE["metadata"], "managedFields": [entry]}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "fields", "lost"),
    [
        (RULE["spec"], {"f:spec": {"f:groups": {}}}, None),
        (RULE["spec"], {"f:spec": {}}, None),
        ({}, {"f:spec": {}}, "spec"),
        ({"other": 1}, {"f:spec": {"f:other": {}}}, "spec.groups"),
        ({}, {}, "spec"),
    ],
    ids=["by-member", "as-a-whole", "emptied", "another-member", "nothing"],
)
def test_a_map_is_lost_with_its_members(spec: Any, fields: Manifest, lost: str | None) -> None:
    assert lost_field(RULE, live(spec, fields), manager=MANAGER) == lost
