"""Bodies and query flags are checked here; what is wrong is told in the form of zod's issues, which clients know."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import orjson
from aiohttp import web
from aiohttp.client_exceptions import ClientPayloadError
from pydantic import BaseModel, TypeAdapter, ValidationError

from claude_mem.model.errors import InvalidInput, Issue, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

#: What stands for a body that was not sent; zod calls it undefined.
UNDEFINED: Any = object()

#: An escape in JSON text: a pair of surrogates, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)

_EXPECTED = {
    "string_type": "string",
    "int_type": "number",
    "bool_type": "boolean",
    "dict_type": "record",
    "model_type": "object",
    "model_attributes_type": "object",
    "list_type": "array",
}


class MalformedJson(InvalidInput):
    """Raised when a body is not JSON, or not an object or array."""

    label = "SyntaxError"


async def read_json(request: web.Request) -> Any:
    """The parsed body, or UNDEFINED where there is none.

    Raises: UnsupportedMediaType for a body of another type, MalformedJson, PayloadTooLarge,
        InvalidInput for text that no database can hold.
    """
    raw = await read_bytes(request)
    if not raw:
        return UNDEFINED
    if not (request.content_type == "application/json" or request.content_type.endswith("+json")):
        raise UnsupportedMediaType(f"the body must be application/json, not {request.content_type}")
    try:
        value = parse(raw)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"the body is not valid JSON: {error.msg} at character {error.pos}") from error
    if not isinstance(value, dict | list):
        raise MalformedJson("the body must be a JSON object or array")
    if b"\\u0000" in raw:
        _refuse_nul(value)
    return value


async def read_bytes(request: web.Request) -> bytes:
    """The body, within the bound of the application.

    Raises: PayloadTooLarge, MalformedJson for one that breaks off.
    """
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise PayloadTooLarge(f"the body is larger than {request.client_max_size} bytes") from error
    except (ClientPayloadError, web.RequestPayloadError, ConnectionResetError) as error:
        raise MalformedJson(
            "the body ended early or cannot be decoded as its Content-Encoding says; send it again"
        ) from error


def parse(raw: bytes) -> Any:
    """JSON in which half a surrogate pair, as a text cut inside an emoji leaves behind, becomes U+FFFD.

    Raises: JSONDecodeError of orjson.
    """
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        whole = _ESCAPE.sub(lambda found: rb"\ufffd" if found["half"] else found[0], raw)
        if whole == raw:
            raise
        return orjson.loads(whole)


def _refuse_nul(value: Any) -> None:
    pending: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            if "\0" in item:
                message = "Invalid string: the character U+0000 cannot be stored"
                raise InvalidInput(message, (Issue("invalid_format", path, message),))
        elif isinstance(item, dict):
            pending.extend(((*path, "key"), key) for key in item)
            pending.extend(((*path, key), child) for key, child in item.items())
        elif isinstance(item, list):
            pending.extend(((*path, index), child) for index, child in enumerate(item))


def validate(shape: TypeAdapter[T], value: Any) -> T:
    """The value as its model.

    Raises: InvalidInput with every issue found.
    """
    if value is UNDEFINED:
        raise InvalidInput("the body is missing", (_wrong_type("object", "undefined", path=()),))
    try:
        return shape.validate_python(value)
    except ValidationError as error:
        issues = tuple(_issue(found, shape) for found in error.errors(include_url=False))
        raise InvalidInput("the request is not valid", issues) from error


def _issue(found: Any, shape: TypeAdapter[Any]) -> Issue:
    path = tuple(found["loc"])
    kind, context = found["type"], found.get("ctx", {})
    if kind == "missing":
        return _missing(path, shape)
    if kind == "int_type" and isinstance(found["input"], float):
        return _wrong_type("int", "number", path=path)
    if kind in _EXPECTED:
        return _wrong_type(_EXPECTED[kind], _type_name(found["input"]), path=path)
    if kind in {"string_too_short", "too_short", "greater_than_equal"}:
        return _too_small(path, kind, context=context)
    if kind in {"string_too_long", "too_long", "less_than_equal"}:
        return _too_big(path, kind, context=context)
    if kind in {"enum", "literal_error"}:
        return _invalid_option(path, str(context.get("expected", "")))
    return Issue("custom", path, str(found["msg"]))


def _wrong_type(expected: str, received: str, *, path: tuple[str | int, ...]) -> Issue:
    message = f"Invalid input: expected {expected}, received {received}"
    return Issue("invalid_type", path, message, {"expected": expected})


def _missing(path: tuple[str | int, ...], shape: TypeAdapter[Any]) -> Issue:
    field = _field(shape, path)
    options = _options(field)
    if options:
        return _invalid_option(path, " or ".join(f"'{option}'" for option in options))
    return _wrong_type("number" if "int" in str(field) else "string", "undefined", path=path)


def _field(shape: TypeAdapter[Any], path: Sequence[str | int]) -> Any:
    model = shape._type  # noqa: SLF001 - the adapter keeps no public reference to what it adapts
    if get_args(model):
        model = get_args(model)[0]
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None
    named = (field for name, field in model.model_fields.items() if path and path[-1] in {name, field.alias})
    found = next(named, None)
    return found.annotation if found else None


def _options(annotation: Any) -> list[str]:
    return [option for option in get_args(annotation) if isinstance(option, str)]


def _too_small(path: tuple[str | int, ...], kind: str, *, context: dict[str, Any]) -> Issue:
    origin, unit = _measured(kind)
    minimum = context.get("min_length", context.get("ge"))
    expected = f"{origin} to have >={minimum} {unit}" if unit else f"{origin} to be >={minimum}"
    details = {"origin": origin, "minimum": minimum, "inclusive": True}
    return Issue("too_small", path, f"Too small: expected {expected}", details)


def _too_big(path: tuple[str | int, ...], kind: str, *, context: dict[str, Any]) -> Issue:
    origin, unit = _measured(kind)
    maximum = context.get("max_length", context.get("le"))
    expected = f"{origin} to have <={maximum} {unit}" if unit else f"{origin} to be <={maximum}"
    details = {"origin": origin, "maximum": maximum, "inclusive": True}
    return Issue("too_big", path, f"Too big: expected {expected}", details)


def _measured(kind: str) -> tuple[str, str]:
    if kind.startswith("string"):
        return "string", "characters"
    return ("array", "items") if kind.startswith("too_") else ("number", "")


def _invalid_option(path: tuple[str | int, ...], expected: str) -> Issue:
    options = [option.strip("' ") for option in expected.replace(" or ", ", ").split(", ")]
    listed = "|".join(f'"{option}"' for option in options)
    return Issue("invalid_value", path, f"Invalid option: expected one of {listed}", {"values": options})


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "number", float: "number", list: "array", dict: "object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "unknown")


def flag(request: web.Request, name: str, *, default: bool) -> bool:
    """A query flag that is `true` or `false`.

    Raises: InvalidInput for anything else, a repeated flag included.
    """
    values = request.query.getall(name, [])
    if not values:
        return default
    if len(values) == 1 and values[0] in {"true", "false"}:
        return values[0] == "true"
    issue = _invalid_option((name,), "'true' or 'false'")
    raise InvalidInput(issue.message, (issue,))
