"""The kinds of single values in the resource: names, quantities, ports, addresses, each with its limits.

Every string has a largest length: the API server reckons the cost of a CEL rule from it.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from claude_mem_operator.api.quantities import QUANTITY_PATTERN, is_quantity

_LABEL: Final = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST: Final = rf"{_LABEL}(\.{_LABEL})*"
_PERCENTAGE: Final = r"^(100|[1-9]?[0-9])%$"
_QUANTITY_LENGTH: Final = 32

Text = Annotated[str, Field(min_length=1, max_length=256)]
"""A word or a line that only its reader can judge."""

ObjectName = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^{_HOST}$")]
"""The name of a Secret, a ConfigMap, a StorageClass and the like: a DNS subdomain."""

LabelName = Annotated[str, Field(min_length=1, max_length=63, pattern=rf"^{_LABEL}$")]
"""A name of at most 63 letters: a DNS label."""

DataKey = Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]
"""A key within a Secret or a ConfigMap."""

VariableName = Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[-._a-zA-Z][-._a-zA-Z0-9]*$")]
"""The name of an environment variable, as Kubernetes takes it."""

ImageReference = Annotated[
    str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][-a-zA-Z0-9._:/]*(@sha256:[0-9a-f]{64})?$")
]
"""An image with a tag or a digest."""

HttpUrl = Annotated[str, Field(max_length=2048, pattern=r"^https?://[^/?#@\s]+(/[^\s]*)?$")]
"""An http or https address, without a user or a password."""

HostName = Annotated[str, Field(min_length=1, max_length=253, pattern=rf"^(\*\.)?{_HOST}$")]
"""A host name, or `*.` and a domain."""

Cidr = Annotated[str, Field(max_length=64, pattern=r"^[0-9a-fA-F:.]+/[0-9]{1,3}$")]
"""A block of addresses, such as 10.0.0.0/8."""

MapKey = Annotated[
    str,
    Field(
        min_length=1,
        max_length=317,
        pattern=r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
"""The key of a label or an annotation, or the name of a resource, with or without a prefix."""

LabelValue = Annotated[str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")]
AnnotationValue = Annotated[str, Field(max_length=16384)]

Labels = Annotated[dict[MapKey, LabelValue], Field(max_length=64)]
Annotations = Annotated[dict[MapKey, AnnotationValue], Field(max_length=64)]


def _read_quantity(value: Any) -> Any:
    """A quantity as text: YAML makes a number of `cpu: 1`."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and (len(value) > _QUANTITY_LENGTH or not is_quantity(value)):
        raise PydanticCustomError("quantity", "must be a quantity such as 500m, 2, 512Mi or 10Gi")
    return value


def _read_int_or_percentage(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 2**31 - 1:
        return value
    if isinstance(value, str) and is_percentage(value):
        return value
    raise PydanticCustomError("int_or_percentage", "must be a whole number, or a percentage from 0% to 100%")


def is_percentage(value: str) -> bool:
    """Whether `value` is 0% to 100%."""
    number = value.removesuffix("%")
    return (
        number != value
        and number.isascii()
        and number.isdigit()
        and str(int(number)) == number
        and int(number) <= 100
    )


Quantity = Annotated[
    str,
    BeforeValidator(_read_quantity),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": QUANTITY_PATTERN, "maxLength": _QUANTITY_LENGTH}
    ),
]
"""An amount of a resource; held as text."""

StorageSize = Annotated[str, Field(max_length=_QUANTITY_LENGTH, pattern=QUANTITY_PATTERN)]
"""The size of a volume, always as text."""

IntOrPercentage = Annotated[
    int | str,
    PlainValidator(_read_int_or_percentage),
    WithJsonSchema(
        {"x-kubernetes-int-or-string": True, "pattern": _PERCENTAGE, "maxLength": 4, "minimum": 0}
    ),
]
"""A number of pods, or a percentage of them."""
