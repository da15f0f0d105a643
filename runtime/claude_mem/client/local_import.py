"""Sending a local database to the server, in requests of whole sessions, so that each stands for itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from claude_mem.client.local_database import HEADER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from claude_mem.client.local_database import LocalDatabase
    from claude_mem.client.local_records import Record
    from claude_mem.client.sdk import Client

#: Bytes after which a request is sent; a single larger session is one of its own.
REQUEST_BYTES: Final = 1024 * 1024


@dataclass(slots=True)
class LocalImport:
    """What became of it, by kind."""

    imported: Counter[str] = field(default_factory=Counter)
    duplicates: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


def encoded(records: Iterable[Record]) -> bytes:
    """Records as lines."""
    return b"".join(
        json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n" for record in records
    )


def requests(database: LocalDatabase) -> Iterator[bytes]:
    """Bodies of imports.

    Raises: NotALocalDatabaseError.
    """
    groups = database.groups()
    projects = next(groups)
    head = encoded([HEADER, *projects])
    body, sent = bytearray(head), False
    for group in groups:
        lines = encoded(group)
        if len(body) > len(head) and len(body) + len(lines) > REQUEST_BYTES:
            yield bytes(body)
            body, sent = bytearray(head), True
        body += lines
    if len(body) > len(head) or not sent:
        yield bytes(body)


def send(client: Client, database: LocalDatabase, *, project_id: str | None) -> LocalImport:
    """Import all that the database has.

    Parameters:
        project_id: takes in everything; None finds or makes a project for each local one.

    Raises: ClaudeMemApiError: what was sent stays, and importing again goes on; NotALocalDatabaseError.
    """
    result = LocalImport()
    for body in requests(database):
        report = client.import_lines(body, project_id=project_id)
        result.imported.update(report.imported)
        result.duplicates.update(report.duplicates)
        result.refused += [f"{one.line}: {one.message}" for one in report.refused]
    return result
