"""The operator's benchmark in small: `make bench-operator` does the same with a hundred resources and ten minutes."""

from __future__ import annotations

import pytest

from hack.bench_operator import measure
from tests.support.kube.scripts import UnavailableError
from tests.support.tiers import cannot_run


# It waits patiently for each of several things.
@pytest.mark.timeout(1500)
def test_several_resources_get_ready_fit_into_memory_and_then_cost_no_write() -> None:
    try:
        figures = measure(resources=6, idle_s=20, patience_s=300)
    except UnavailableError as reason:
        cannot_run(str(reason))
    assert all(figures.verdicts.values()), figures
