"""The operator's benchmark in small: `make bench-operator` does the same with a hundred resources and ten minutes."""

from __future__ import annotations

from hack.bench_operator import measure
from tests.support.kube.scripts import UnavailableError
from tests.support.tiers import cannot_run


def test_several_resources_get_ready_fit_into_memory_and_then_cost_no_write() -> None:
    try:
        figures = measure(resources=6, idle_s=20, patience_s=150)
    except UnavailableError as reason:
        cannot_run(str(reason))
    assert all(figures.verdicts.values()), figures
