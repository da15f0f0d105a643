"""The providers' real SDKs against a server with the real wire formats."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from claude_mem.generation import (
    DEFAULT_MODELS,
    EventInput,
    GenerationError,
    GenerationRequest,
    ModeLibrary,
    ParseError,
    Provider,
    ProviderTimeoutError,
    RateLimitError,
    TransientError,
    UnknownProviderError,
    UnrecoverableError,
    Usage,
    build_provider,
    canonical_name,
)
from claude_mem.generation.providers.anthropic import AnthropicProvider
from claude_mem.generation.providers.anthropic import base_url as anthropic_url
from claude_mem.generation.providers.base import ModelProvider
from claude_mem.generation.providers.gemini import base_url as gemini_url
from claude_mem.generation.providers.openai import base_url as openai_url
from tests.support.fake_llm import MODES, Answer, FakeLlm, Received

KEY = "sk-test-0123456789-very-secret"
SECRET_WORD = "xylophone-observation-payload"
NAMES = ("claude", "gemini", "openrouter")
LABELS = {"claude": "Claude", "gemini": "Gemini", "openrouter": "OpenRouter"}
MODE = ModeLibrary().load()


@pytest.fixture
async def llm() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def provider(name: str, llm: FakeLlm) -> AsyncIterator[ModelProvider]:
    made = build_provider(name=name, api_key=KEY, base_url=llm.url, timeout_s=10)
    assert isinstance(made, ModelProvider)
    yield made
    await made.close()


def events(count: int = 1) -> tuple[EventInput, ...]:
    return tuple(
        EventInput(f"event-{number}", "tool_use", "hook", 1_767_225_600_000, {"text": SECRET_WORD})
        for number in range(1, count + 1)
    )


def request(count: int = 1, **more: Any) -> GenerationRequest:
    values: dict[str, Any] = {
        "kind": "event",
        "job_id": "job-1",
        "project_id": "p",
        "team_id": "t",
        "events": events(count),
        "mode": MODE,
    }
    return GenerationRequest(**(values | more))


async def failure(provider: Provider) -> GenerationError:
    with pytest.raises(GenerationError) as caught:
        await provider.generate(request())
    return caught.value


async def test_a_call_gives_observations_and_tokens(provider: ModelProvider, name: str, llm: FakeLlm) -> None:
    assert isinstance(provider, Provider)
    llm.script.append(Answer(usage=(120, 30)))
    result = await provider.generate(request())
    (found,) = result.reply.observations
    assert found.title is not None
    assert found.title.startswith("Finding")
    assert result.text is not None
    assert "<observation>" in result.text
    assert result.usage == Usage(120, 30, 150)
    assert (result.provider, result.model, result.method) == (name, DEFAULT_MODELS[name], None)
    assert llm.count == 1


async def test_a_summary_is_asked_for_and_read(provider: ModelProvider, llm: FakeLlm) -> None:
    result = await provider.generate(request(kind="summary"))
    assert result.reply.summary is not None
    assert result.reply.summary.investigated == "The session's events"
    assert "<observation>" not in llm.last.system + llm.last.user


async def test_prompt_and_limits_go_over_each_wire(provider: ModelProvider, name: str, llm: FakeLlm) -> None:
    await provider.generate(request())
    got = llm.last
    assert SECRET_WORD in got.user
    assert SECRET_WORD not in got.system
    assert "<observation>" in got.system
    assert got.model == DEFAULT_MODELS[name]
    if name == "claude":
        assert got.path == "/v1/messages"
        assert got.body["max_tokens"] == 4096
    elif name == "gemini":
        assert got.path == "/v1beta/models/gemini-flash-latest:generateContent"
        assert got.body["generationConfig"]["maxOutputTokens"] == 4096
        assert got.body["generationConfig"]["temperature"] == 0.3
    else:
        assert got.path == "/chat/completions"
        assert got.body["max_tokens"] == 4096
        assert got.body["temperature"] == 0.3
        assert "stream" not in got.body


async def test_the_key_travels_in_a_header_alone(provider: ModelProvider, name: str, llm: FakeLlm) -> None:
    await provider.generate(request())
    got = llm.last
    header = {"claude": "x-api-key", "gemini": "x-goog-api-key", "openrouter": "authorization"}[name]
    assert got.headers[header] == (f"Bearer {KEY}" if name == "openrouter" else KEY)
    assert KEY not in got.path
    assert KEY not in json.dumps(got.body)
    assert [key for key, value in got.headers.items() if KEY in value] == [header]
    assert "openrouter" not in got.headers.get("http-referer", "")
    if name == "claude":
        assert got.headers["anthropic-version"] == "2023-06-01"


@pytest.mark.filterwarnings("ignore:The model .* is deprecated:DeprecationWarning")
@pytest.mark.parametrize(
    ("model", "sent"),
    [
        ("claude-3-5-haiku-latest", True),
        ("claude-opus-4-20250514", True),
        ("claude-sonnet-4-5-20250929", True),
        ("claude-sonnet-4-6", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-5", False),
        ("claude-opus-5-5", False),
        ("some-compatible-model", True),
    ],
)
async def test_claude_gets_a_temperature_only_where_it_takes_one(
    llm: FakeLlm, model: str, *, sent: bool
) -> None:
    provider = build_provider(name="anthropic", model=model, api_key=KEY, base_url=llm.url)
    await provider.generate(request())
    await provider.close()
    assert llm.last.body.get("temperature") == (0.3 if sent else None)


def asked_schema(name: str, body: dict[str, Any]) -> Any:
    if name == "claude":
        return body.get("output_config", {}).get("format", {}).get("schema")
    if name == "gemini":
        return body["generationConfig"].get("responseJsonSchema")
    return body.get("response_format", {}).get("json_schema", {}).get("schema")


async def test_a_schema_is_asked_for_and_a_structured_reply_is_read(
    provider: ModelProvider, name: str, llm: FakeLlm
) -> None:
    observation = {"type": "change", "title": "T", "facts": ["f"], "source_events": ["2"]}
    llm.script.append(Answer(structured={"observations": [observation], "skipped": False}))
    result = await provider.generate(request(2))
    assert [(item.title, item.source_events) for item in result.reply.observations] == [("T", ["event-2"])]
    schema = asked_schema(name, llm.last.body)
    item = schema["properties"]["observations"]["items"]
    assert item["additionalProperties"] is False
    assert item["required"] == list(item["properties"])
    assert "source_events" in item["required"]
    await provider.generate(request(1))
    single = asked_schema(name, llm.last.body)["properties"]["observations"]["items"]
    assert "source_events" not in single["properties"]


async def test_a_model_without_structured_output_is_asked_without_from_then_on(
    provider: ModelProvider, name: str, llm: FakeLlm
) -> None:
    llm.script.append(
        Answer(status=400, message="json_schema: structured outputs are not supported by this model")
    )
    assert (await provider.generate(request())).reply.observations
    assert llm.count == 2
    assert asked_schema(name, llm.last.body) is None
    await provider.generate(request())
    assert llm.count == 3


async def test_structured_output_can_be_off(name: str, llm: FakeLlm) -> None:
    provider = build_provider(name=name, api_key=KEY, base_url=llm.url, structured=False)
    await provider.generate(request())
    await provider.close()
    assert asked_schema(name, llm.last.body) is None


@pytest.mark.parametrize("name", ["gemini", "openrouter"])
async def test_a_refused_temperature_is_left_out_from_then_on(provider: ModelProvider, llm: FakeLlm) -> None:
    llm.script.append(Answer(status=400, message="Unsupported value: 'temperature' must be 1"))
    await provider.generate(request())
    assert '"temperature"' not in json.dumps(llm.last.body)
    assert llm.count == 2


@pytest.mark.parametrize("name", ["openrouter"])
async def test_the_newer_name_of_the_output_limit_is_used_when_asked_for(
    provider: ModelProvider, llm: FakeLlm
) -> None:
    llm.script.append(Answer(status=400, message="use 'max_completion_tokens' instead"))
    await provider.generate(request())
    assert llm.last.body["max_completion_tokens"] == 4096
    assert "max_tokens" not in llm.last.body


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
    provider = build_provider(name=name, api_key=KEY, base_url=llm.url, timeout_s=0.2)
    llm.script.append(MODES["hang"])
    error = await failure(provider)
    await provider.close()
    assert isinstance(error, ProviderTimeoutError)
    assert isinstance(error, TransientError)
    assert error.retryable
    assert "within 0.2 s" in error.message
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
    await asyncio.wait_for(arrived.wait(), 5)
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


async def test_texts_in_several_parts_are_joined(llm: FakeLlm) -> None:
    block = "<observation><title>{}</title></observation>"
    documents = {
        "claude": {
            "content": [
                {"type": "thinking", "thinking": "hm"},
                {"type": "text", "text": block.format("A")},
                {"type": "text", "text": block.format("B")},
            ]
        },
        "gemini": {
            "candidates": [
                {
                    "content": {
                        "parts": [
                            {"text": "hm", "thought": True},
                            {"text": block.format("A")},
                            {"text": block.format("B")},
                        ]
                    }
                }
            ]
        },
        "openrouter": {
            "choices": [{"message": {"content": [{"text": block.format("A")}, {"text": block.format("B")}]}}]
        },
    }
    for name, document in documents.items():
        provider = build_provider(name=name, api_key=KEY, base_url=llm.url)
        llm.script.append(Answer(document=document))
        result = await provider.generate(request())
        await provider.close()
        assert [item.title for item in result.reply.observations] == ["A", "B"], name


async def test_neither_prompt_nor_key_is_logged_or_in_errors(
    provider: ModelProvider, llm: FakeLlm, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    echo = f"you sent {SECRET_WORD} with {KEY}"
    llm.script.extend(
        [
            Answer(),
            *(Answer(status=status, message=echo) for status in (400, 401, 403, 429, 500)),
            Answer(text=echo),
            Answer(raw=echo),
            Answer(reset=True),
        ]
    )
    told = repr(await provider.generate(request()))
    while llm.script:
        error = await failure(provider)
        shown = "".join(traceback.format_exception(error))
        told += repr(error) + str(error) + shown + repr(vars(error)) + repr(error.__context__)
    told += caplog.text + repr(provider)
    assert SECRET_WORD not in told
    assert KEY not in told


async def test_no_more_connections_than_allowed_are_opened(name: str) -> None:
    async with FakeLlm(lambda _received: Answer(delay_s=0.01)) as llm:
        provider = build_provider(name=name, api_key=KEY, base_url=llm.url, max_connections=3)
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(provider.generate(request()))
        await provider.close()
        assert llm.count == 12
        assert 1 <= len(llm.peers) <= 3


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "https://openrouter.ai/api/v1"),
        ("https://host/v1", "https://host/v1"),
        ("https://host/v1///", "https://host/v1"),
        ("https://host/v1/chat/completions", "https://host/v1"),
        ("https://host/v1/chat/completions/", "https://host/v1"),
    ],
)
def test_a_chat_completions_address_may_be_whole(given: str | None, expected: str) -> None:
    assert openai_url(given) == expected


def test_other_addresses_may_be_whole_too() -> None:
    assert anthropic_url(None) == "https://api.anthropic.com"
    assert anthropic_url("https://host/v1/messages") == "https://host"
    assert anthropic_url("https://host/proxy/v1/") == "https://host/proxy"
    assert gemini_url(None) == ("https://generativelanguage.googleapis.com", "v1beta")
    assert gemini_url("https://host/v1/") == ("https://host", "v1")
    assert gemini_url("https://host/g") == ("https://host/g", "v1beta")


async def test_a_whole_address_reaches_the_same_path(llm: FakeLlm) -> None:
    for name, path in (
        ("openrouter", "/x/chat/completions"),
        ("claude", "/x/v1/messages"),
        ("gemini", "/x/v1beta/models/gemini-flash-latest:generateContent"),
    ):
        whole = path if name != "gemini" else "/x/v1beta"
        provider = build_provider(name=name, api_key=KEY, base_url=llm.url + whole)
        await provider.generate(request())
        await provider.close()
        assert llm.last.path == path


async def test_the_environment_does_not_change_where_or_how_is_called(
    name: str, llm: FakeLlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "ANTHROPIC_AUTH_TOKEN": "other",
        "ANTHROPIC_API_KEY": "other",
        "OPENAI_BASE_URL": "http://127.0.0.1:9",
        "OPENAI_ORG_ID": "org-leak",
        "OPENAI_PROJECT_ID": "proj-leak",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
        "GOOGLE_GEMINI_BASE_URL": "http://127.0.0.1:9",
        "GOOGLE_API_KEY": "other",
    }.items():
        monkeypatch.setenv(variable, value)
    provider = build_provider(name=name, api_key=KEY, base_url=llm.url)
    await provider.generate(request())
    await provider.close()
    sent = json.dumps(llm.last.headers)
    assert KEY in sent
    assert "other" not in llm.last.headers.values()
    assert "leak" not in sent


def test_names_are_trimmed_and_aliased() -> None:
    assert canonical_name(" Anthropic ") == "claude"
    assert canonical_name("GEMINI") == "gemini"
    with pytest.raises(UnknownProviderError, match="claude, gemini, openrouter, offline"):
        canonical_name("mistral")


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_or_empty_key_is_refused(name: str, key: str | None) -> None:
    with pytest.raises(ValueError, match="needs an API key"):
        build_provider(name=name, api_key=key)


async def test_a_blank_model_or_address_is_the_default(llm: FakeLlm) -> None:
    provider = build_provider(name="claude", api_key=KEY, model=" ", base_url="")
    assert isinstance(provider, AnthropicProvider)
    assert provider.model == "claude-sonnet-5"
    await provider.close()


@pytest.mark.parametrize(
    ("chosen", "loaded"), [("offline", set()), ("claude", {"anthropic"}), ("openrouter", {"openai"})]
)
def test_only_the_chosen_sdk_is_imported(chosen: str, loaded: set[str]) -> None:
    program = (
        "import sys; from claude_mem.generation import build_provider;"
        f"build_provider(name={chosen!r}, api_key='k');"
        "print(*({'anthropic', 'openai', 'google.genai'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert set(done.stdout.split()) == loaded


def test_the_fake_server_is_a_process_too() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.support.fake_llm", "--mode", "auth"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            call: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            assert httpx.post(f"{url}/v1/messages", json=call).status_code == 401
            assert httpx.post(f"{url}/_control", json={"mode": "ok"}).json() == {"mode": "ok"}
            assert httpx.post(f"{url}/v1/chat/completions", json=call).status_code == 200
            report = httpx.get(f"{url}/_requests").json()
            assert (report["count"], report["requests"][-1]["user"]) == (2, "hi")
            assert httpx.post(f"{url}/v1/other", json=call).status_code == 404
        finally:
            process.terminate()
