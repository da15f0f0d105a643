"""How what became of an import is told, over HTTP and at the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.services.transfer_format import KINDS

if TYPE_CHECKING:
    from claude_mem.http.responses.moved import ImportReport
    from claude_mem.services.transfer_import import Imported


def report(imported: Imported, *, dry_run: bool) -> ImportReport:
    """What became of an import, as it is told."""
    outcome = imported.outcome
    return {
        "dryRun": dry_run,
        "complete": imported.complete,
        "lines": imported.lines,
        "imported": {kind: outcome.stored[kind] for kind in KINDS},
        "duplicates": {kind: outcome.duplicates[kind] for kind in KINDS},
        "unlinked": outcome.unlinked,
        "redactions": outcome.redactions,
        "refusedLines": imported.bad_lines,
        "refused": [{"line": one.number, "message": one.message} for one in imported.refused],
    }
