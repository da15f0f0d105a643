"""The kinds of values that are numbers, each a constructor of `Variable`: counts, limits and durations."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from claude_mem.environment.variables import Variable, always

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
_LARGEST = 2**53
_LONGEST_SECONDS = 86_400
_DURATION = f"a number above 0 and at most {_LONGEST_SECONDS}"


def count(
    name: str,
    *,
    group: str,
    default: int | Callable[[Mapping[str, str]], int],
    meaning: str,
    unit: str = "",
    minimum: int = 1,
    maximum: int = 2**31 - 1,
    default_text: str = "",
) -> Variable[int]:
    """A whole number from `minimum` to `maximum`."""

    def parse(raw: str) -> int:
        number = _whole_number(raw)
        if not minimum <= number <= maximum:
            raise ValueError(raw)
        return number

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        unit=unit,
        expects=f"a whole number from {minimum} to {maximum}",
        parse=parse,
        default=always(default) if isinstance(default, int) else default,
        default_text=default_text or str(default),
    )


def ceiling(name: str, *, group: str, default: int | None, meaning: str, unit: str) -> Variable[int | None]:
    """A limit: a whole number above zero; None stands for 0, which turns the limit off."""

    def parse(raw: str) -> int | None:
        number = _whole_number(raw)
        if number < 0:
            raise ValueError(raw)
        return number or None

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        unit=unit,
        expects="a whole number, where 0 is off",
        parse=parse,
        default=always(default),
        default_text="off" if default is None else str(default),
    )


def seconds(name: str, *, group: str, default: float, meaning: str) -> Variable[float]:
    """A duration in seconds, above zero and at most a day."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        unit="seconds",
        expects=_DURATION,
        parse=_duration,
        default=always(default),
        default_text=f"{default:g}",
    )


def optional_seconds(name: str, *, group: str, default_text: str, meaning: str) -> Variable[float | None]:
    """A duration like `seconds`; None where it is unset, which means what `default_text` says."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        unit="seconds",
        expects=_DURATION,
        parse=_duration,
        default=always(None),
        default_text=default_text,
    )


def _duration(raw: str) -> float:
    if not _NUMBER.fullmatch(raw) or not 0 < float(raw) <= _LONGEST_SECONDS:
        raise ValueError(raw)
    return float(raw)


def _whole_number(raw: str) -> int:
    """The whole part of a decimal number; clients have always been able to write 10, 10.0 and 1e1."""
    if not _NUMBER.fullmatch(raw):
        raise ValueError(raw)
    number = float(raw)
    if not math.isfinite(number) or abs(number) > _LARGEST:
        raise ValueError(raw)
    return math.floor(number)
