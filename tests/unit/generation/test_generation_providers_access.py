"""Which provider is asked where and how: names, keys, addresses, connections; and what is told of that to nobody."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import httpx
import pytest

from claude_mem.generation import (
    UnknownProviderError,
    build_provider,
    canonical_name,
)
from claude_mem.generation.providers.anthropic import AnthropicProvider
from claude_mem.generation.providers.anthropic import base_url as anthropic_url
from claude_mem.generation.providers.base import ModelProvider
from claude_mem.generation.providers.gemini import base_url as gemini_url
from claude_mem.generation.providers.openai import base_url as openai_url
from tests.support.fake_llm import Answer, FakeLlm
from tests.support.providers import KEY, SECRET_WORD, failure, request


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
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=240
    )
    assert set(done.stdout.split()) == loaded


def test_the_fake_server_is_a_process_too() -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-m", "tests.support.fake_llm", "--mode", "auth"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process,
        httpx.Client(timeout=240, trust_env=False) as http,
    ):
        try:
            assert process.stdout is not None
            url = json.loads(process.stdout.readline())["url"]
            call: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
            assert http.post(f"{url}/v1/messages", json=call).status_code == 401
            assert http.post(f"{url}/_control", json={"mode": "ok"}).json() == {"mode": "ok"}
            assert http.post(f"{url}/v1/chat/completions", json=call).status_code == 200
            report = http.get(f"{url}/_requests").json()
            assert (report["count"], report["requests"][-1]["user"]) == (2, "hi")
            assert http.post(f"{url}/v1/other", json=call).status_code == 404
        finally:
            process.terminate()
