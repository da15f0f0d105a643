"""JSON spelled as JavaScript spells it, which is what the persisted idempotency keys are digests of.

Only the spelling lives here. Which values form a key is `identity`'s business.

The rules are ECMAScript's: `JSON.stringify` (strings, lone surrogates), `Number::toString` (numbers are
doubles), and `OrdinaryOwnPropertyKeys` (array indices come first, in numeric order). orjson agrees with them
on nearly every real payload and is some fifty times faster, so its text is taken whenever nothing in it could
be spelled differently.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

JS_WHITESPACE: Final = (
    "\t\n\v\f\r \u00a0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + "\u2028\u2029\u202f\u205f\u3000\ufeff"
)
"""What JavaScript's `trim` removes and `\\s` matches; Python's set differs in U+0085, U+001C-1F, U+FEFF."""

# A float, an integer near or beyond 2**53, or a key that JavaScript would take for an array index, in compact
# text of a container. It begins with one set of characters because `re` skips quickly to the next of those,
# and to nothing more complicated.
_UNCERTAIN: Final = re.compile(rb'[:,\[{](?:-?(?:[0-9]{16}|[0-9]+[.eE])|"[0-9]{1,10}":)')
# Beyond the Basic Multilingual Plane the order of UTF-8 is not the order of UTF-16.
_ASTRAL: Final = re.compile(rb"[\xf0-\xf4]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ARRAY_INDEX: Final = re.compile(r"0|[1-9][0-9]{0,9}", re.ASCII)
_MAX_ARRAY_INDEX: Final = 2**32 - 2
_MAX_SAFE_INTEGER: Final = 2**53


def canonical_json(value: Any) -> str:
    """The compact JSON text of `value` with the keys of every object in JavaScript's sorted order.

    `value` is any JSON value: None, bool, int, float, str, list, or dict with str keys, nested to any depth.
    Infinite numbers and NaN become `null`, as `JSON.stringify` has it. Raises TypeError for anything else.
    """
    fast = _fast(value, orjson.OPT_SORT_KEYS)
    return _slow(value, sort=True) if fast is None else fast


def js_json(value: Any) -> str:
    """`JSON.stringify(value)`: array indices come first, the other keys in the order they have."""
    fast = _fast(value, 0)
    return _slow(value, sort=False) if fast is None else fast


def sha256_hex(parts: Sequence[str | None]) -> str:
    """Lower-case hexadecimal SHA-256 of the UTF-8 of the JSON array of `parts`."""
    try:
        encoded = orjson.dumps(parts)
    except TypeError:  # a lone surrogate, which orjson refuses and JavaScript escapes
        encoded = _slow(list(parts), sort=False).encode()
    return hashlib.sha256(encoded).hexdigest()


def js_trim(text: str) -> str:
    """`text` without the white space that JavaScript's `trim` takes from both ends."""
    return text.strip(JS_WHITESPACE)


def _fast(value: Any, option: int) -> str | None:
    if isinstance(value, int | float):
        return None
    try:
        raw = orjson.dumps(value, option=option)
    except (
        TypeError
    ):  # too deep, an integer beyond 64 bits, a lone surrogate; or not JSON, which the slow path reports
        return None
    if _UNCERTAIN.search(raw) or not (raw.isascii() or _ASTRAL.search(raw) is None):
        return None
    return raw.decode()


def _slow(value: Any, *, sort: bool) -> str:
    """Keeps a stack of its own: depth must not meet the interpreter's recursion limit."""
    out: list[str] = []
    pending: list[Iterator[tuple[str, Any]]] = [iter((("", value),))]
    closers = [""]
    while pending:
        try:
            lead, item = next(pending[-1])
        except StopIteration:
            pending.pop()
            out.append(closers.pop())
            continue
        out.append(lead)
        if isinstance(item, dict):
            out.append("{")
            pending.append(_members(item, sort=sort))
            closers.append("}")
        elif isinstance(item, list | tuple):
            out.append("[")
            pending.append(_elements(item))
            closers.append("]")
        else:
            out.append(_scalar(item))
    return "".join(out)


def _members(mapping: dict[str, Any], *, sort: bool) -> Iterator[tuple[str, Any]]:
    separator = ""
    for key in _js_order(mapping, sort=sort):
        yield f"{separator}{_string(key)}:", mapping[key]
        separator = ","


def _elements(items: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    separator = ""
    for item in items:
        yield separator, item
        separator = ","


def _js_order(mapping: dict[str, Any], *, sort: bool) -> list[str]:
    indices: list[str] = []
    names: list[str] = []
    for key in mapping:
        (indices if _is_array_index(key) else names).append(key)
    indices.sort(key=int)
    if sort:
        names.sort(key=_utf16)
    return indices + names


def _is_array_index(key: str) -> bool:
    return _ARRAY_INDEX.fullmatch(key) is not None and int(key) <= _MAX_ARRAY_INDEX


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


def _scalar(item: Any) -> str:
    if isinstance(item, str):
        return _string(item)
    if item is None:
        return "null"
    if isinstance(item, bool):
        return "true" if item else "false"
    if isinstance(item, int):
        return _integer(item)
    if isinstance(item, float):
        return _double(item)
    raise TypeError(f"Not a JSON value: {type(item).__name__}. Pass what a JSON parser returns.")


def _string(text: str) -> str:
    encoded = json.dumps(text, ensure_ascii=False)
    if encoded.isascii() or _SURROGATE.search(encoded) is None:
        return encoded
    # Two surrogates that happen to stand side by side are one character to JavaScript; what then remains is
    # lone.
    paired = _utf16(encoded).decode("utf-16-be", "surrogatepass")
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", paired)


def _integer(number: int) -> str:
    if -_MAX_SAFE_INTEGER <= number <= _MAX_SAFE_INTEGER:
        return str(number)
    try:
        return _double(float(number))
    except OverflowError:
        return "null"


def _double(number: float) -> str:
    """ECMAScript `Number::toString`: the shortest digits that read back, laid out by the exponent's size."""
    if not math.isfinite(number):
        return "null"
    if number == 0:
        return "0"
    sign = "-" if number < 0 else ""
    mantissa, _, exponent = f"{abs(number)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # The value is 0.digits * 10**point.
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    if len(digits) <= point <= 21:
        return sign + digits.ljust(point, "0")
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{tail}e{point - 1:+d}"
