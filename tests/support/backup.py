"""config/backup.yaml, the nightly dump of a managed PostgreSQL, as tests read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

BACKUP = Path(__file__).parents[2] / "config" / "backup.yaml"
#: The resource whose name stands in it.
NAME = "team-memory"


def backup(kind: str) -> dict[str, Any]:
    """Its object of a kind."""
    documents = yaml.safe_load_all(BACKUP.read_text(encoding="utf-8"))
    (found,) = (one for one in documents if one["kind"] == kind)
    assert isinstance(found, dict)
    return found


def pod() -> dict[str, Any]:
    """The template of the pods that make dumps."""
    template: dict[str, Any] = backup("CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    return template
