"""What an API server would make of a manifest, and what it would leave out, without storing anything."""

from __future__ import annotations

import json
from typing import Any

import yaml

from tests.support.kube.kubectl import Kubectl


def dry_run(kubectl: Kubectl, manifest: Any) -> Any:
    """What the API server would store, without a warning, or its refusal."""
    answer = kubectl(
        "apply",
        "--server-side",
        "--dry-run=server",
        "--field-manager=claude-mem-operator",
        "--force-conflicts",
        "--warnings-as-errors",
        "--output=yaml",
        "--filename=-",
        stdin=json.dumps(manifest),
    )
    return yaml.safe_load(answer)


def lost(sent: Any, stored: Any, path: str = "") -> list[str]:
    """What of `sent` is not in `stored`: fields that the API server does not know or takes otherwise."""
    if isinstance(sent, dict):
        found = stored if isinstance(stored, dict) else {}
        return [line for name, part in sent.items() for line in lost(part, found.get(name), f"{path}.{name}")]
    if isinstance(sent, list) and isinstance(stored, list) and len(sent) == len(stored):
        return [
            line for index, part in enumerate(sent) for line in lost(part, stored[index], f"{path}[{index}]")
        ]
    return [] if sent == stored else [f"{path}: {sent!r} became {stored!r}"]
