"""The operator's reference says what the code says, and the code can say nothing else."""

from __future__ import annotations

import pytest

from claude_mem_operator.engine.conditions import REASONS, TYPES, Finding
from hack import generate_operator_reference


def test_the_reference_is_generated_from_the_code() -> None:
    written = generate_operator_reference.TARGET.read_text(encoding="utf-8")
    assert written == generate_operator_reference.render(), "run python hack/generate_operator_reference.py"


def test_every_condition_has_reasons_and_an_unknown_reason_is_an_error() -> None:
    assert {reason.type for reason in REASONS} == set(TYPES)
    assert len({(one.type, one.status, one.name) for one in REASONS}) == len(REASONS)
    with pytest.raises(ValueError, match="no reason"):
        Finding("Ready", "True", "NoSuchReason")
