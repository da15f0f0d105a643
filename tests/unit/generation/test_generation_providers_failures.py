"""What becomes of a provider's failures, by its real SDK: their class, their tokens, and when to come again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from claude_mem.generation import (
    DEFAULT_MODELS,
    ParseError,
    ProviderTimeoutError,
    RateLimitError,
    TransientError,
    UnrecoverableError,
    Usage,
    build_provider,
)
from claude_mem.generation.providers.base import ModelProvider
from tests.support.fake_llm import MODES, Answer, FakeLlm, Received
from tests.support.providers import KEY, LABELS, failure, request

CLASSES = [
    ("transient", "transient"),
    ("overloaded", "transient"),
    ("rate_limit", "rate_limit"),
    ("auth", "auth_invalid"),
    ("bad_request", "unrecoverable"),
    ("garbage", "parse_error"),
    ("nonsense", "parse_error"),
    ("reset", "transient"),
]


@pytest.mark.parametrize(("mode", "classification"), CLASSES)
async def test_every_failure_has_its_class_and_is_tried_once(
    provider: ModelProvider, name: str, llm: FakeLlm, *, mode: str, classification: str
) -> None:
    llm.script.append(MODES[mode])
    error = await failure(provider)
    assert error.classification == classification
    assert (error.provider, error.model) == (name, DEFAULT_MODELS[name])
    assert llm.count == 1


@pytest.mark.parametrize(
    ("name", "expected"), [("openrouter", "quota_exhausted"), ("gemini", "quota_exhausted")]
)
async def test_used_up_credit_is_told_from_a_rate_limit(
    provider: ModelProvider, llm: FakeLlm, expected: str
) -> None:
    llm.script.append(Answer(status=429, error="RESOURCE_EXHAUSTED", message="insufficient_quota"))
    assert (await failure(provider)).classification == expected


async def test_messages_name_the_provider_and_the_status(
    provider: ModelProvider, name: str, llm: FakeLlm
) -> None:
    llm.script.extend([MODES["transient"], MODES["garbage"], MODES["nonsense"], MODES["reset"]])
    label = LABELS[name]
    messages = [(await failure(provider)).message for _ in range(4)]
    assert messages == [
        f"{label} answered HTTP 503: a passing failure; it is tried again",
        f"{label} returned invalid JSON",
        "parser rejected response",
        f"{label} cannot be reached; it is tried again",
    ]


async def test_retry_after_is_kept_in_seconds_and_as_a_date(provider: ModelProvider, llm: FakeLlm) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=90)
    llm.script.extend(
        [
            Answer(status=429, headers={"retry-after": "7"}),
            Answer(status=429, headers={"Retry-After": format_datetime(soon, usegmt=True)}),
            Answer(status=429),
        ]
    )
    waits = [(await failure(provider)).retry_after_ms for _ in range(3)]
    assert waits[0] == 7_000
    assert waits[1] is not None
    assert 80_000 < waits[1] <= 90_000
    assert waits[2] is None


async def test_a_hanging_provider_is_given_up(name: str, llm: FakeLlm) -> None:
    # Long enough for the request to arrive on a busy machine.
    provider = build_provider(name=name, api_key=KEY, base_url=llm.url, timeout_s=1.5)
    llm.script.append(MODES["hang"])
    error = await failure(provider)
    await provider.close()
    assert isinstance(error, ProviderTimeoutError)
    assert isinstance(error, TransientError)
    assert error.retryable
    assert "within 1.5 s" in error.message
    assert llm.count == 1


async def test_a_closed_port_is_transient(name: str, llm: FakeLlm, unused_tcp_port_factory: Any) -> None:
    provider = build_provider(
        name=name, api_key=KEY, base_url=f"http://127.0.0.1:{unused_tcp_port_factory()}"
    )
    assert (await failure(provider)).classification == "transient"
    await provider.close()


async def test_a_cancelled_call_stays_cancelled(provider: ModelProvider, llm: FakeLlm) -> None:
    arrived = asyncio.Event()

    def hang(received: Received) -> Answer:
        arrived.set()
        return MODES["hang"]

    llm.respond = hang
    task = asyncio.create_task(provider.generate(request()))
    await asyncio.wait_for(arrived.wait(), 120)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_rejected_reply_still_reports_its_tokens(provider: ModelProvider, llm: FakeLlm) -> None:
    llm.script.append(Answer(text="no blocks", usage=(50, 5)))
    error = await failure(provider)
    assert isinstance(error, ParseError)
    assert error.usage == Usage(50, 5, 55)


@pytest.mark.parametrize("name", ["openrouter"])
async def test_an_error_with_status_200_is_an_error(provider: ModelProvider, llm: FakeLlm) -> None:
    usage = {"prompt_tokens": 9, "completion_tokens": 0, "total_tokens": 9}
    within = {"choices": [{"error": {"code": 502, "message": "upstream"}, "message": {"content": "half"}}]}
    llm.script.extend(
        [
            Answer(document={"error": {"code": 429, "message": "slow down"}, "usage": usage}),
            Answer(document={"error": {"code": 402, "message": "pay"}}),
            Answer(document={"error": "Insufficient credits"}),
            Answer(document={"error": {"message": "odd"}}),
            Answer(document=within),
        ]
    )
    errors = [await failure(provider) for _ in range(5)]
    assert [error.classification for error in errors] == [
        "rate_limit", "quota_exhausted", "quota_exhausted", "unrecoverable", "transient",
    ]  # fmt: skip
    assert errors[0].usage == Usage(9, 0, 9)


@pytest.mark.parametrize("name", ["claude"])
async def test_claudes_error_documents_with_status_200_are_classified(
    provider: ModelProvider, llm: FakeLlm
) -> None:
    for kind in ("rate_limit_error", "authentication_error", "overloaded_error", "invalid_request_error"):
        llm.script.append(Answer(document={"type": "error", "error": {"type": kind, "message": "m"}}))
    classes = [(await failure(provider)).classification for _ in range(4)]
    assert classes == ["rate_limit", "auth_invalid", "transient", "unrecoverable"]


@pytest.mark.parametrize("name", ["gemini"])
async def test_geminis_own_delay_is_heeded(provider: ModelProvider, llm: FakeLlm) -> None:
    detail = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "12s"}
    llm.script.append(Answer(status=429, error="RESOURCE_EXHAUSTED", details=[detail]))
    error = await failure(provider)
    assert isinstance(error, RateLimitError)
    assert error.retry_after_ms == 12_000


REFUSALS = {
    "claude": {"content": [], "stop_reason": "refusal", "usage": {"input_tokens": 7, "output_tokens": 1}},
    "gemini": {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 7, "totalTokenCount": 8, "thoughtsTokenCount": 1},
    },
    "openrouter": {
        "choices": [{"message": {"content": None, "refusal": "no"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1},
    },
}


async def test_a_refusal_is_final_and_paid_for(provider: ModelProvider, name: str, llm: FakeLlm) -> None:
    llm.script.append(Answer(document=REFUSALS[name]))
    error = await failure(provider)
    assert isinstance(error, UnrecoverableError)
    assert "declined to answer" in error.message
    assert error.usage == Usage(7, 1, 8)


ODD: list[Any] = [
    {},
    {"content": "x", "choices": {}, "candidates": []},
    {
        "content": [1, {}],
        "choices": [7],
        "candidates": [{"content": {"parts": 3}}],
        "usage": 3,
        "usageMetadata": [],
    },
    {"choices": [{"message": {"content": 5}}], "usage": {"prompt_tokens": "many", "total_tokens": True}},
]


@pytest.mark.parametrize("document", ODD)
async def test_a_document_of_another_shape_is_rejected(
    provider: ModelProvider, llm: FakeLlm, *, document: Any
) -> None:
    llm.script.append(Answer(document=document))
    assert isinstance(await failure(provider), ParseError)


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "7", '"text"', "[" * 50_000, b"\xff\xfe\x00", '{"content": [{"te']
)
@pytest.mark.parametrize("status", [200, 500])
async def test_no_body_brings_it_down(
    provider: ModelProvider, name: str, llm: FakeLlm, *, body: str | bytes, status: int
) -> None:
    llm.script.append(Answer(raw=body, status=status))
    error = await failure(provider)
    assert error.classification == ("parse_error" if status == 200 else "transient")
