"""What the operator makes of its libraries' lines."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from claude_mem_operator.logs import configure

WHAT = "GET https://10.96.0.1:443/api/v1/pods"


@pytest.fixture(autouse=True)
def root_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [(line["level"], line["message"]) for line in lines]


@pytest.mark.parametrize(
    "message",
    [
        f"Request attempt #1/365 failed; will retry: {WHAT} -> TimeoutError()",
        f"Request attempt #2 failed; SSL closed; will re-authenticate: {WHAT}",
        f"Request attempt #2 failed; TCP closed; will re-authenticate: {WHAT}",
    ],
)
def test_a_request_that_kopf_tries_again_is_a_warning(
    message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level="INFO", form="json")
    logging.getLogger("kopf._cogs.clients.api").error(message)
    assert told(capsys) == [("WARNING", message)]


def test_one_that_it_gives_up_and_all_other_errors_stay_errors(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="INFO", form="json")
    given_up = f"Request attempt #365/365 failed; escalating: {WHAT} -> TimeoutError()"
    logging.getLogger("kopf._cogs.clients.api").error(given_up)
    own = f"Request attempt #1 failed; will retry: {WHAT}"
    logging.getLogger("claude_mem_operator.process").error(own)
    assert told(capsys) == [("ERROR", given_up), ("ERROR", own)]


def test_who_wants_errors_only_gets_no_warning_instead(capsys: pytest.CaptureFixture[str]) -> None:
    configure(level="ERROR", form="json")
    logging.getLogger("kopf").error(f"Request attempt #1/365 failed; will retry: {WHAT} -> TimeoutError()")
    logging.getLogger("kopf").error("the end")
    assert told(capsys) == [("ERROR", "the end")]
