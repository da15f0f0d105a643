"""The providers' real SDKs against a server with the real wire formats: what is asked and what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from claude_mem.generation import (
    DEFAULT_MODELS,
    Provider,
    Usage,
    build_provider,
)
from claude_mem.generation.providers.base import ModelProvider
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.providers import KEY, SECRET_WORD, request


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
