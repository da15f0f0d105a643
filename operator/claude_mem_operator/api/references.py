"""References to Secrets and ConfigMaps, and environment variables: the shapes that Kubernetes has for them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.lists import Unique
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import DataKey, ObjectName, Quantity, Text, VariableName


class SecretKeyRef(Model):
    """A key of a Secret in the resource's own namespace."""

    name: ObjectName
    """The Secret."""
    key: DataKey
    """The key in it whose value is used."""


class LocalObjectReference(Model):
    """An object in the resource's own namespace."""

    name: ObjectName
    """Its name."""


class KeySelector(Model):
    """A key of a Secret or a ConfigMap, which may be allowed to be missing."""

    name: ObjectName
    """The Secret or ConfigMap, in the resource's own namespace."""
    key: DataKey
    """The key in it whose value is used."""
    optional: bool | None = None
    """Whether the pod starts without it."""


class ObjectFieldSelector(Model):
    """A field of the pod itself."""

    api_version: Text | None = None
    """The version of the pod's schema; v1 where it is not given."""
    field_path: Text
    """The field, such as status.podIP or metadata.name."""


class ResourceFieldSelector(Model):
    """A limit or request of the container."""

    container_name: Text | None = None
    """The container; its own where it is not given."""
    resource: Text
    """Such as limits.memory."""
    divisor: Quantity | None = None
    """The unit in which the value is told; 1 where it is not given."""


class EnvVarSource(Model):
    """Where the value of a variable comes from: exactly one of the fields."""

    secret_key_ref: KeySelector | None = None
    """A key of a Secret."""
    config_map_key_ref: KeySelector | None = None
    """A key of a ConfigMap."""
    field_ref: ObjectFieldSelector | None = None
    """A field of the pod."""
    resource_field_ref: ResourceFieldSelector | None = None
    """A limit or request of the container."""

    rules = (
        Rule(
            cel=(
                "[has(self.secretKeyRef), has(self.configMapKeyRef), has(self.fieldRef), "
                "has(self.resourceFieldRef)].filter(given, given).size() == 1"
            ),
            holds=lambda source: len(source.given()) == 1,
            message=(
                "must hold exactly one of secretKeyRef, configMapKeyRef, fieldRef and resourceFieldRef; "
                "keep the one that the value comes from"
            ),
        ),
    )


class EnvVar(Model):
    """An environment variable of a container; it wins over what the operator sets itself."""

    name: VariableName
    """The variable."""
    value: Annotated[str, Field(max_length=32768)] | None = None
    """Its value. Values that are secret belong in a Secret: see valueFrom."""
    value_from: EnvVarSource | None = None
    """Where its value comes from, instead of value."""

    rules = (
        Rule(
            cel="!(has(self.value) && has(self.valueFrom))",
            holds=lambda variable: variable.value is None or variable.value_from is None,
            message="must not hold both value and valueFrom; remove one",
            field=".valueFrom",
        ),
    )


Environment = Annotated[
    tuple[EnvVar, ...],
    Field(max_length=100),
    Unique(("name",)),
]
"""Variables, each name once."""

PullPolicy = Literal["Always", "IfNotPresent", "Never"]
