"""Taking credentials out of a text: whole blocks of private keys first, then all of the table of formats."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Final

from claude_mem.privacy.formats import SECRET, secret_of

if TYPE_CHECKING:
    from collections import Counter

PRIVATE_KEY: Final = "private-key"
JWT: Final = "jwt"
URL_PASSWORD: Final = "url-password"  # noqa: S105 - the name of a kind

PEM_HINT: Final = r"N(?<=-----BEGIN) [A-Z0-9 ]{0,40}PRIVATE KEY"
"""Matches at every header of a PEM private key, in text as well as in JSON text."""

_PEM_LINE: Final = re.compile(r"-----(?P<edge>BEGIN|END) [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_MAX: Final = 65_536
# What stands between the lines of a key in a file, in a string literal, in a literal over several lines, in a
# diff.
_GAP: Final = r"""(?:[\s"'+,>|]|\\++[nrt])"""
_PEM_FIELD: Final = rf"(?:{_GAP}*+[A-Za-z-]{{4,20}}: [^\n\\]{{0,200}})"
_PEM_BODY: Final = re.compile(
    rf"{_PEM_FIELD}{{0,8}}(?:{_GAP}*+[A-Za-z0-9+/]{{16,}}+={{0,2}})+(?:{_GAP}++[A-Za-z0-9+/]{{0,15}}(?:={{1,2}}|\Z))?"
)
_JWT_HEADER_MAX: Final = 16_384
_MAX_PASSES: Final = 4


def strip_secrets(text: str, counts: Counter[str]) -> str:
    """`text` with `[REDACTED:<kind>]` in the place of every secret, each added to `counts` under its kind.

    Of a URL only the password goes. The same object is returned when there was none.
    """
    text = _strip_private_keys(text, counts)
    for _ in range(_MAX_PASSES):
        stripped = _strip_formats(text, counts)
        if stripped is text:
            break
        text = stripped
    return text


def _marker(kind: str) -> str:
    return f"[REDACTED:{kind}]"


def _strip_private_keys(text: str, counts: Counter[str]) -> str:
    edges = list(_PEM_LINE.finditer(text))
    kept: list[str] = []
    position = 0
    for index, edge in enumerate(edges):
        if edge["edge"] == "END" or edge.start() < position:
            continue
        following = edges[index + 1] if index + 1 < len(edges) else None
        limit = len(text) if following is None else following.start()
        if following is not None and following["edge"] == "END" and limit - edge.end() <= _PEM_MAX:
            end = following.end()
        elif body := _PEM_BODY.match(text, edge.end(), limit):
            end = body.end()
        else:
            continue
        kept += text[position : edge.start()], _marker(PRIVATE_KEY)
        counts[PRIVATE_KEY] += 1
        position = end
    return "".join([*kept, text[position:]]) if kept else text


def _strip_formats(text: str, counts: Counter[str]) -> str:
    kept: list[str] = []
    position = 0
    for match in SECRET.finditer(text):
        form, start = secret_of(match)
        end = match.end()
        if form.kind == JWT and not _is_jwt(text[start:end]):
            continue
        if form.kind == URL_PASSWORD:
            start, end = text.index(":", start + len("://")) + 1, end - 1
        kept += text[position : max(start, position)], _marker(form.kind)
        counts[form.kind] += 1
        position = end
    return "".join([*kept, text[position:]]) if kept else text


def _is_jwt(token: str) -> bool:
    """Whether `token` begins with a JOSE header: base64url of a JSON object with `alg` (RFC 7515)."""
    header = token.partition(".")[0]
    if len(header) > _JWT_HEADER_MAX:
        return False
    try:
        decoded = json.loads(base64.urlsafe_b64decode(header + "=" * (-len(header) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(decoded, dict) and "alg" in decoded
