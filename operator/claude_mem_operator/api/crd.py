"""The CustomResourceDefinition, made from the models: a structural schema with descriptions, defaults and CEL.

pydantic says what each field takes; here its JSON schema is brought into the form that the API server accepts
(no references, no unions, no nulls) and the models' rules become `x-kubernetes-validations`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pydantic.json_schema import GenerateJsonSchema

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.resource import GROUP, KIND, PLURAL, VERSION, ClaudeMemServer, Metadata
from claude_mem_operator.api.rules import Transition

if TYPE_CHECKING:
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import core_schema

    from claude_mem_operator.api.rules import Rule

SHORT_NAME: Final = "cms"

_REFERENCE: Final = "#/$defs/"
_INT32_MAXIMUM: Final = 2**31 - 1
_COLUMNS: Final = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', "Whether the service works.", 0),
    ("Phase", "string", ".status.phase", "The state in one word.", 0),
    ("Server", "integer", ".status.server.readyReplicas", "Ready pods of the server.", 0),
    ("Workers", "integer", ".status.worker.readyReplicas", "Ready workers.", 0),
    ("Version", "string", ".status.version", "The image that runs.", 1),
    ("Age", "date", ".metadata.creationTimestamp", "Since when the resource is there.", 0),
)


def crd() -> dict[str, Any]:
    """The manifest of the CRD."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": [SHORT_NAME],
                "categories": ["all"],
            },
            "versions": [_version()],
        },
    }


def schema() -> dict[str, Any]:
    """The structural schema of the whole resource."""
    raw = ClaudeMemServer.model_json_schema(by_alias=True, schema_generator=_Schema)
    structural = _structural(raw, raw["$defs"])
    properties = structural["properties"]
    name = _structural(Metadata.model_json_schema(schema_generator=_Schema)["properties"]["name"], {})
    properties["metadata"] = {
        "type": "object",
        "properties": {"name": {key: name[key] for key in ("type", "maxLength", "pattern")}},
    }
    for constant in ("apiVersion", "kind"):
        properties[constant] = {"type": "string", "description": properties[constant]["description"]}
    structural["required"] = ["spec"]
    return structural


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema()},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.worker.replicas",
                "statusReplicasPath": ".status.worker.replicas",
                "labelSelectorPath": ".status.worker.selector",
            },
        },
        "additionalPrinterColumns": [
            {
                "name": name,
                "type": kind,
                "jsonPath": path,
                "description": description,
                **({"priority": priority} if priority else {}),
            }
            for name, kind, path, description, priority in _COLUMNS
        ],
    }


class _Schema(GenerateJsonSchema):
    """pydantic's JSON schema, with the models' rules in it, and defaults as short as they can be."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        written = super().model_schema(schema)
        model = schema["cls"]
        if issubclass(model, Model):
            rules: list[Rule | Transition] = [*model.all_rules(), *model.all_transitions()]
            if rules:
                written["x-kubernetes-validations"] = [_validation(rule) for rule in rules]
        return written

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        default = schema.get("default")
        inner = self.generate_inner(schema["schema"])
        if isinstance(default, Model):
            default = default.model_dump(mode="json", by_alias=True, exclude_unset=True)
        elif default in (None, (), {}):
            return inner
        return {"allOf": [inner], "default": default}


def _validation(rule: Rule | Transition) -> dict[str, str]:
    forbidden = {"reason": "FieldValueForbidden"} if isinstance(rule, Transition) else {}
    where = {"fieldPath": rule.field} if rule.field else {}
    return {"rule": rule.cel, "message": rule.message, **where, **forbidden}


def _structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`schema` without references, unions and what the API server does not take."""
    resolved = _flat(schema, definitions)
    for unwanted in ("title", "$defs", "const", "propertyNames"):
        resolved.pop(unwanted, None)
    if "patternProperties" in resolved:
        (resolved["additionalProperties"],) = resolved.pop("patternProperties").values()
    if not resolved.get("additionalProperties", True):
        del resolved["additionalProperties"]
    if "description" in resolved:
        resolved["description"] = " ".join(resolved["description"].split())
    if resolved.get("type") == "integer":
        resolved["format"] = "int32" if resolved.get("maximum", 2**63) <= _INT32_MAXIMUM else "int64"
    if "properties" in resolved:
        resolved["properties"] = {
            name: _structural(one, definitions) for name, one in resolved["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(resolved.get(key), dict):
            resolved[key] = _structural(resolved[key], definitions)
    return resolved


def _flat(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """`schema` with references, wrappers and `or null` taken out; what stands beside them wins."""
    schema = dict(schema)
    parts: list[dict[str, Any]] = schema.pop("allOf", [])
    if "$ref" in schema:
        parts = [*parts, definitions[schema.pop("$ref").removeprefix(_REFERENCE)]]
    parts = [*parts, *(one for one in schema.pop("anyOf", []) if one != {"type": "null"})]
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= _flat(part, definitions)
    return merged | schema
