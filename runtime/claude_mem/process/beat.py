"""A worker's latest sign of life: a small file, for a check that may not open a port.

Who writes it is `beating`. It is read by a probe every few seconds: standard library only, and little of it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

BEAT_FILE = ".server-beta-worker.json"

#: Seconds after which a sign of life no longer counts.
STALE_S = 30.0


class Beat(NamedTuple):
    """A sign of life: of which process, and at which Unix time in seconds."""

    pid: int
    at: float

    @property
    def age_s(self) -> float:
        return max(0.0, time.time() - self.at)

    @property
    def is_fresh(self) -> bool:
        """Whether it was given so recently that the worker can be taken to work."""
        return self.age_s <= STALE_S


def read(data_dir: Path) -> Beat | None:
    """The latest sign of life in a data directory, however old."""
    try:
        found = json.loads((data_dir / BEAT_FILE).read_text("utf-8"))
        return Beat(int(found["pid"]), float(found["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def text(beat: Beat) -> str:
    """What the file holds."""
    return json.dumps(beat._asdict())
