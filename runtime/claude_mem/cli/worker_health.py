"""`claude-mem server worker health`: does the worker of this data directory work?

A probe asks every few seconds, on every node that a worker runs on, so this is dispatched before typer or the server is
imported, which would take many times as long as the answer. Standard library only.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from claude_mem.client.settings import data_dir
from claude_mem.process import beat


def run(*, as_json: bool) -> int:
    """Say how the worker is.

    Returns: the exit status: 0 if it gave a sign of life just now, else 1.
    """
    found = beat.read(data_dir())
    well = found is not None and found.is_fresh
    result: dict[str, Any] = {
        "status": "ok" if well else "unhealthy",
        "pid": found.pid if found else None,
        "ageSeconds": round(found.age_s, 1) if found else None,
    }
    sys.stdout.write((json.dumps(result, indent=2) if as_json else f"worker: {result['status']}") + "\n")
    if well:
        return 0
    age = f"the last sign of life is {found.age_s:.0f} s old" if found else "there is no sign of life"
    sys.stderr.write(f"error: no worker works here: {age}\nnext: claude-mem server worker start\n")
    return 1
