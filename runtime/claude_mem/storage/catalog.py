"""The named SQL statements: read from `.sql` files, checked, and compiled for a driver.

A file holds blocks of the form

    -- name: events.insert
    -- Why the statement is as it is.
    INSERT INTO ... VALUES (:id, ...)

Files under `statements/common` serve every dialect; a dialect's own file may replace a statement. Parameters are
written `:name`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_NAME = re.compile(r"^-- name: ([a-z_]+\.[a-z_0-9]+)$")
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as its driver takes it.

    Parameters:
        name: `subject.verb`.
        sql: the text with the driver's placeholders.
        parameters: names in the order of the placeholders `$1`, `$2`, ….
    """

    name: str
    sql: str
    parameters: tuple[str, ...]


@cache
def load(dialect: str) -> dict[str, Statement]:
    """All statements for `postgres` (placeholders `$n`) or `sqlite` (placeholders `:name`).

    Raises: ValueError when a file names a statement twice or holds text outside one.
    """
    root = resources.files(__package__) / "statements"
    texts: dict[str, str] = {}
    for folder in ("common", dialect):
        texts |= _read(root / folder)
    return {name: _compile(name, sql, positional=dialect == "postgres") for name, sql in texts.items()}


def _read(folder: Traversable) -> dict[str, str]:
    found: dict[str, str] = {}
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        name = None
        lines: dict[str, list[str]] = {}
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := _NAME.match(line):
                name = match[1]
                if name in found or name in lines:
                    raise ValueError(f"{file.name}: the statement {name} stands there twice")
                lines[name] = []
            elif line.startswith("--") or not line.strip():
                continue
            elif name is None:
                raise ValueError(f"{file.name}: text before the first '-- name:' line")
            else:
                lines[name].append(line)
        found |= {key: "\n".join(text).rstrip(";\n") for key, text in lines.items()}
    return found


def _compile(name: str, sql: str, *, positional: bool) -> Statement:
    order: list[str] = []

    def place(match: re.Match[str]) -> str:
        if match[1] not in order:
            order.append(match[1])
        return f"${order.index(match[1]) + 1}"

    numbered = _PARAMETER.sub(place, sql)
    return Statement(name=name, sql=numbered if positional else sql, parameters=tuple(order))
