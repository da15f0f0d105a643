"""docs/how-to/jobs.md tells what to do about every reason for which a job can fail or wait."""

from __future__ import annotations

import re
from pathlib import Path

from claude_mem.generation import errors, failover
from claude_mem.model.records import JobStatus
from claude_mem.services import budget_changes

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "jobs.md").read_text(encoding="utf-8")


def _first_column(heading: str) -> set[str]:
    table = PAGE.partition(heading)[2].partition("\n## ")[0]
    return set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]+)\|", table, re.MULTILINE)))) - {
        "classification"
    }


def _classifications() -> set[str]:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    raised = {kind.classification for kind in kinds if issubclass(kind, errors.GenerationError)}
    own: set[str] = set()
    for path in (ROOT / "runtime" / "claude_mem").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        own |= set(re.findall(r'Failure\("(\w+)"', text))
        own |= set(re.findall(r'"classification": "(\w+)"', text))
    return raised | own | {failover.CIRCUIT_OPEN, budget_changes.WAITING}


def test_every_classification_is_described_and_no_other() -> None:
    assert _first_column("## What failed, and why") == _classifications()


def test_every_state_is_described_and_no_other() -> None:
    assert _first_column("## How much waits") == {str(status) for status in JobStatus}
