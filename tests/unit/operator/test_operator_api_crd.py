"""The CRD: checked in as it is generated, of a form that the API server takes, told of field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import yaml

from claude_mem_operator.api.crd import crd, schema
from hack import resource_reference
from hack.generate_crds import CRD, REFERENCE, render_crd
from tests.support.claude_mem_servers import sample

#: What kubectl may put into the annotation of a client-side apply.
LARGEST_BYTES = 262_144
KEYWORDS = {
    *("type", "format", "enum", "default", "description", "required", "properties", "additionalProperties"),
    *("items", "pattern", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("maxProperties", "x-kubernetes-validations", "x-kubernetes-int-or-string"),
    *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}


def _nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every schema within a schema, with its path."""
    yield path, node
    for name, child in node.get("properties", {}).items():
        yield from _nodes(child, f"{path}.{name}")
    for key, mark in (("items", "[]"), ("additionalProperties", "{}")):
        if key in node:
            yield from _nodes(node[key], path + mark)


def _fields(document: Any, path: str = "") -> Iterator[str]:
    """The paths of a document's fields, spelt as those of its schema."""
    if isinstance(document, list):
        for entry in document:
            yield from _fields(entry, f"{path}[]")
    elif isinstance(document, dict):
        for name, value in document.items():
            yield f"{path}.{name}"
            yield from _fields(value, f"{path}.{name}")


def test_the_crd_is_what_the_models_say() -> None:
    assert CRD.read_text(encoding="utf-8") == render_crd(), "run make docs"
    assert yaml.safe_load(render_crd()) == crd()


def test_the_reference_is_what_the_models_say() -> None:
    assert REFERENCE.read_text(encoding="utf-8") == resource_reference.render(), "run make docs"


def test_the_crd_can_be_applied_on_the_clients_side() -> None:
    assert len(json.dumps(crd())) < LARGEST_BYTES


def test_the_schema_is_structural_and_knows_every_field() -> None:
    for path, node in _nodes(schema()):
        assert set(node) <= KEYWORDS, path
        assert "type" in node or node.get("x-kubernetes-int-or-string"), path
        if node.get("type") == "object" and not path.startswith(".metadata"):
            assert node.get("properties") or node.get("additionalProperties"), path


def test_every_field_has_a_description() -> None:
    for path, node in _nodes(schema()):
        if not path.endswith(("[]", "{}")) and not path.startswith(".metadata"):
            assert node.get("description", "").endswith("."), path


def test_the_cost_of_rules_is_bounded() -> None:
    for path, node in _nodes(schema()["properties"]["spec"], ".spec"):
        kind = node.get("type")
        assert kind != "array" or "maxItems" in node, path
        assert kind != "string" or "maxLength" in node or "enum" in node, path
        assert "additionalProperties" not in node or "maxProperties" in node, path


def test_every_field_stands_in_a_sample() -> None:
    spec = schema()["properties"]["spec"]
    known = {path for path, _ in _nodes(spec) if path and not path.endswith(("[]", "{}"))}
    written = {path for name in ("full", "external", "production") for path in _fields(sample(name)["spec"])}
    shapes = ("affinity", "tolerations", "ingressFrom", "env[]", "topologySpreadConstraints")
    assert {path for path in known - written if not any(shape in path for shape in shapes)} == set()


def test_it_scales_and_has_a_short_name() -> None:
    spec = crd()["spec"]
    assert spec["names"]["shortNames"] == ["cms"]
    assert spec["names"]["categories"] == ["all"]
    (version,) = spec["versions"]
    scale = version["subresources"]["scale"]
    assert scale == {
        "specReplicasPath": ".spec.worker.replicas",
        "statusReplicasPath": ".status.worker.replicas",
        "labelSelectorPath": ".status.worker.selector",
    }
    columns = [(column["name"], column.get("priority", 0)) for column in version["additionalPrinterColumns"]]
    assert columns == [("Ready", 0), ("Phase", 0), ("Server", 0), ("Workers", 0), ("Version", 1), ("Age", 0)]
