"""When an outage of Valkey is told, and when its end."""

from __future__ import annotations

import pytest

from claude_mem.queue.valkey import Outage


def test_an_outage_is_told_once_and_ends_with_an_answer_to_a_later_question(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    outage = Outage("nothing is lost")
    asked_before = outage.failures
    for _ in range(2):
        outage.met(ConnectionRefusedError())
    outage.over(failures_before=asked_before)
    assert caplog.messages == [
        "Valkey does not answer: it cannot be reached (ConnectionRefusedError); nothing is lost"
    ]
    outage.over(failures_before=outage.failures)
    assert caplog.messages[1:] == ["Valkey answers again"]
