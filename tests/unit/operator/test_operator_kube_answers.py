"""What the API server's refusals mean to the engine: what to wait for, what to tell, what to give up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_mem_operator.kube import errors
from claude_mem_operator.kube.answers import refusal


def answer(**status: Any) -> str:
    return json.dumps({"kind": "Status", "message": "words", **status})


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, answer(), errors.Invalid),
        (401, answer(), errors.Unavailable),
        (403, answer(reason="Forbidden"), errors.Forbidden),
        (403, answer(details={"causes": [{"reason": "NamespaceTerminating"}]}), errors.NamespaceTerminating),
        (403, answer(details={"causes": None}), errors.Forbidden),
        (404, "404 page not found", errors.NotFound),
        (409, answer(reason="Conflict"), errors.Conflict),
        (409, answer(reason="AlreadyExists"), errors.AlreadyExists),
        (410, answer(reason="Expired"), errors.Unavailable),
        (422, answer(reason="Invalid"), errors.Invalid),
        (429, answer(), errors.TooManyRequests),
        (500, answer(), errors.Unavailable),
        (502, b"<html>", errors.Unavailable),
        (503, "[]", errors.Unavailable),
        (0, None, errors.Unavailable),
    ],
)
def test_each_status_is_the_error_that_says_what_to_do(status: int, body: Any, expected: type) -> None:
    assert type(refusal(status, body, {}, "Reason")) is expected


def test_the_words_are_the_servers_own_and_not_too_many() -> None:
    assert str(refusal(422, answer(message="spec.x: Invalid value"), {}, "Bad")) == "spec.x: Invalid value"
    assert len(str(refusal(422, answer(message="x" * 9000), {}, "Bad"))) == 600
    assert str(refusal(502, b"<html>", {}, "Bad Gateway")) == "Bad Gateway"
    assert str(refusal(0, None, {}, None)) == "no reason given"


@pytest.mark.parametrize(
    ("asked", "wait"), [({"Retry-After": "7"}, 7.0), ({}, 1.0), ({"Retry-After": "soon"}, 1.0)]
)
def test_what_the_server_asks_to_wait_is_known(asked: dict[str, str], wait: float) -> None:
    error = refusal(429, answer(), asked, "Too Many Requests")
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after == wait


def test_a_server_that_ends_says_when_to_come_back() -> None:
    error = refusal(503, answer(), {"Retry-After": "3"}, "Service Unavailable")
    assert isinstance(error, errors.TooManyRequests)
    assert error.retry_after == 3.0
