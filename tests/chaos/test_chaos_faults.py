"""Events accepted while everything is killed in turn are all there in the end, each once; at the size of CI."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos import faults

pytestmark = pytest.mark.chaos


@pytest.mark.timeout(900)
async def test_nothing_accepted_is_lost_or_doubled(tmp_path: Path) -> None:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(1_000_000))
    told: list[str] = []
    verdict = await faults.run(faults.SMALL, seed=seed, directory=tmp_path, tell=told.append)
    course = "\n".join(told)
    assert not verdict.breaches, f"again with CHAOS_SEED={seed}\n{verdict.figures}\n{course}"
