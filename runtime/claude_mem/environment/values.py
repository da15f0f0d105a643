"""Reading one environment value, and showing one to a person.

Leaves to others what a value means (`rules`) and which values there are (`catalogue`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHOWN_CHARACTERS = 32
_URL_WITHOUT_SURPRISES = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<userinfo>[^@/?#\[\]\s]*)@)?"
    r"(?P<hosts>(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._%-]*)(?::\d*)?"
    r"(?:,(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._%-]*)(?::\d*)?)*)"
    r"(?P<path>/[A-Za-z0-9._~%/-]*)?"
    r"(?P<query>\?[^@#\s]*)?"
)


def text(environ: Mapping[str, str], name: str) -> str | None:
    """The trimmed value of `name`; None where it is missing or blank, which are the same thing here."""
    return environ.get(name, "").strip() or None


def is_on(value: str | None) -> bool:
    """Whether a switch's value turns it on: `1` or `true`, in any case."""
    return value is not None and value.strip().lower() in {"1", "true"}


def is_off(value: str | None) -> bool:
    """Whether a switch's value turns it off in so many words: `0` or `false`, in any case."""
    return value is not None and value.strip().lower() in {"0", "false"}


def shown(value: str) -> str:
    """`value` as a message may carry it: on one line, short, and without what could be a credential.

    A key pasted into the wrong variable is long, so of a long value only the first characters stay.
    """
    if "://" in value:
        return redacted_url(value)
    printable = "".join(character if character.isprintable() else "�" for character in value.strip())
    if len(printable) <= _SHOWN_CHARACTERS:
        return printable
    return f"{printable[:4]}… ({len(printable)} characters)"


def redacted_url(url: str) -> str:
    """`url` with scheme, hosts and path only: never its user, its password or its parameters.

    A URL in which a password could be mistaken for another part (an unescaped `/`, `#` or `@`) keeps only
    its scheme; a text that is no URL keeps nothing.
    """
    parts = _URL_WITHOUT_SURPRISES.fullmatch(url.strip())
    if parts is None:
        scheme = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,15}://", url.strip())
        return f"{scheme[0]}***" if scheme else "***"
    userinfo = "***@" if parts["userinfo"] else ""
    query = "?***" if parts["query"] else ""
    return f"{parts['scheme']}://{userinfo}{parts['hosts']}{parts['path'] or ''}{query}"
