"""Kubernetes quantities: 500m, 2, 512Mi, 1e3.

As apimachinery's `resource.Quantity` reads them, but never below zero: no field of the resource has a use for
that.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

QUANTITY_PATTERN: Final = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$"

_PARTS = re.compile(r"(?P<number>[0-9.]+)(?P<suffix>[^0-9].*)?", re.ASCII)
_VALID = re.compile(QUANTITY_PATTERN.removeprefix("^").removesuffix("$"), re.ASCII)
_SUFFIXES: Final = {
    **{letter + "i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", start=1)},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
    "": Decimal(1),
}


def is_quantity(text: str) -> bool:
    """Whether `text` is a quantity of zero or more."""
    return _VALID.fullmatch(text) is not None


def quantity(text: str) -> Decimal:
    """The number that `text` stands for: bytes of 512Mi, cores of 500m.

    Raises ValueError where it is no quantity.
    """
    parts = _PARTS.fullmatch(text)
    if parts is None or not is_quantity(text):
        raise ValueError(f"{text!r} is not a quantity; write one such as 500m, 2 or 512Mi")
    number, suffix = Decimal(parts["number"]), parts["suffix"] or ""
    if suffix in _SUFFIXES:
        return number * _SUFFIXES[suffix]
    return number * Decimal(10) ** int(suffix[1:])
