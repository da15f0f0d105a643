"""Each provider's failures are put into the right class, by the first rule that fits."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from claude_mem.generation.classification import (
    MAX_RETRY_AFTER_MS,
    Classifier,
    classify_claude,
    classify_gemini,
    classify_generic,
    retry_after_ms,
)
from claude_mem.generation.errors import ERROR_CLASSES

CASES: list[tuple[Classifier, int | None, str, str]] = [
    (classify_claude, 400, "Overloaded", "transient"),
    (classify_claude, 401, "overloaded_error", "transient"),
    (classify_claude, 401, "", "auth_invalid"),
    (classify_claude, 403, "", "auth_invalid"),
    (classify_claude, 400, "Invalid API Key", "auth_invalid"),
    (classify_claude, 429, "quota exceeded", "rate_limit"),
    (classify_claude, 400, "Quota exceeded", "quota_exhausted"),
    (classify_claude, 500, "prompt is too long", "unrecoverable"),
    (classify_claude, 400, "exceeds the context window", "unrecoverable"),
    (classify_claude, 400, "max_tokens: too large", "unrecoverable"),
    (classify_claude, 529, "", "transient"),
    (classify_claude, 500, "", "transient"),
    (classify_claude, 503, "", "transient"),
    (classify_claude, 408, "", "transient"),
    (classify_claude, 400, "", "unrecoverable"),
    (classify_claude, 404, "", "unrecoverable"),
    (classify_claude, 418, "", "unrecoverable"),
    (classify_claude, None, "", "transient"),
    (classify_generic, 429, "insufficient credits", "quota_exhausted"),
    (classify_generic, 429, "RESOURCE_EXHAUSTED", "quota_exhausted"),
    (classify_generic, 429, "insufficient_quota", "quota_exhausted"),
    (classify_generic, 403, "Key limit exceeded", "quota_exhausted"),
    (classify_generic, 400, "negative credit", "quota_exhausted"),
    (classify_generic, 503, "rate limit exceeded", "quota_exhausted"),
    (classify_generic, 429, "rate limit exceeded", "rate_limit"),
    (classify_generic, 402, "", "quota_exhausted"),
    (classify_generic, 401, "", "auth_invalid"),
    (classify_generic, 403, "", "auth_invalid"),
    (classify_generic, 400, "", "unrecoverable"),
    (classify_generic, 404, "", "unrecoverable"),
    (classify_generic, 500, "", "transient"),
    (classify_generic, 502, "", "transient"),
    (classify_generic, None, "", "transient"),
    (classify_generic, 418, "", "unrecoverable"),
    (classify_gemini, 400, "quota exceeded", "quota_exhausted"),
    (classify_gemini, 429, '{"error": {"status": "RESOURCE_EXHAUSTED"}}', "quota_exhausted"),
    (classify_gemini, 429, "", "rate_limit"),
    (classify_gemini, 403, "", "auth_invalid"),
    (classify_gemini, 500, "", "transient"),
    (classify_gemini, None, "", "transient"),
]


@pytest.mark.parametrize(("classify", "status", "body", "expected"), CASES)
def test_the_first_rule_that_fits_decides(
    classify: Classifier, status: int | None, body: str, expected: str
) -> None:
    assert classify(status, body, {}).classification == expected


@pytest.mark.parametrize(
    ("body", "category"),
    [
        ("API key not valid", "api_key"),
        ("ensure that function call turn comes after", "role_sequence"),
        ("input token count exceeds the maximum", "context_limit"),
        ("this model is not supported", "model_unsupported"),
        ("something else", "unknown_bad_request"),
    ],
)
def test_a_bad_request_to_gemini_says_what_was_bad(body: str, category: str) -> None:
    verdict = classify_gemini(400, body, {})
    assert (verdict.classification, verdict.category) == ("unrecoverable", category)


def google(quota: str, *, delay: str = "34.5s") -> str:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": quota}]},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    return json.dumps({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": details}})


def test_googles_per_minute_limit_passes_and_its_daily_one_does_not() -> None:
    verdict = classify_gemini(429, google("GenerateRequestsPerMinutePerProject"), {})
    assert (verdict.classification, verdict.retry_after_ms) == ("rate_limit", 34_500)
    assert (
        classify_gemini(429, google("GenerateRequestsPerDayPerProject"), {}).classification
        == "quota_exhausted"
    )
    assert classify_gemini(429, google("x", delay="soon"), {}).classification == "quota_exhausted"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7_000),
        ({"retry-after": "0.25"}, 250),
        ({"Retry-After": "Thu, 01 Jan 2026 00:01:30 GMT"}, 90_000),
        ({"Retry-After": "Wed, 31 Dec 2025 23:59:00 GMT"}, 0),
        ({"Retry-After": "-5"}, 0),
        ({"Retry-After": "tomorrow"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "999999999"}, MAX_RETRY_AFTER_MS),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1_500),
    ],
)
def test_retry_after_is_seconds_or_a_date(headers: dict[str, str], expected: int | None) -> None:
    assert retry_after_ms(headers, now=datetime(2026, 1, 1, tzinfo=UTC)) == expected


def test_only_passing_failures_are_retried() -> None:
    assert {name for name, kind in ERROR_CLASSES.items() if kind.retryable} == {"transient", "rate_limit"}
    assert all(kind.classification == name for name, kind in ERROR_CLASSES.items())
