"""What this process has counted, and how much of it since a moment."""

from __future__ import annotations

from claude_mem.telemetry.declaring import REGISTRY


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


class Growth:
    """How much figures of this process grew since this was made."""

    def __init__(self) -> None:
        self._before = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in REGISTRY.collect()
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float:
        return counted(name, **labels) - self._before.get((name, frozenset(labels.items())), 0.0)
