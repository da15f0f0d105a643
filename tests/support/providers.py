"""What the tests of providers share: a provider of each name over the fake server, and what it is asked.

The constants and helpers are plain; `name` and `provider` are fixtures.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from claude_mem.generation import (
    EventInput,
    GenerationError,
    GenerationRequest,
    ModeLibrary,
    Provider,
    build_provider,
)
from claude_mem.generation.providers.base import ModelProvider
from tests.support.fake_llm import FakeLlm

KEY = "sk-test-0123456789-very-secret"
SECRET_WORD = "xylophone-observation-payload"
NAMES = ("claude", "gemini", "openrouter")
LABELS = {"claude": "Claude", "gemini": "Gemini", "openrouter": "OpenRouter"}
MODE = ModeLibrary().load()


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def provider(name: str, llm: FakeLlm) -> AsyncIterator[ModelProvider]:
    made = build_provider(name=name, api_key=KEY, base_url=llm.url, timeout_s=120)
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
