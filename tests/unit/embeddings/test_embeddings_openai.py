"""OpenAI's wire: what is sent, what counts as vectors, and what becomes of each failure."""

from __future__ import annotations

import asyncio
import json

import pytest
from pydantic import SecretStr

from claude_mem.embeddings.openai import OpenAIEmbedder
from claude_mem.generation.errors import (
    AuthInvalidError,
    GenerationError,
    ParseError,
    ProviderTimeoutError,
    QuotaExhaustedError,
    RateLimitError,
    TransientError,
    UnrecoverableError,
)
from tests.support.embeddings import FakeEmbeddings, Reply, vector_of
from tests.support.ports import free_port

KEY = "sk-embedding-secret"


def vectors(*found: list[float] | list[str]) -> str:
    return json.dumps({"data": [{"index": at, "embedding": one} for at, one in enumerate(found)]})


async def embed(
    url: str, *texts: str, dimensions: int | None = None, timeout_s: float = 20.0
) -> list[list[float]]:
    embedder = OpenAIEmbedder(base_url=url, api_key=SecretStr(KEY), model="m", dimensions=dimensions)
    try:
        return (await embedder.embed(texts, timeout_s=timeout_s)).vectors
    finally:
        await embedder.close()


@pytest.mark.parametrize("ending", ["", "/", "/embeddings", "/embeddings/"])
async def test_vectors_come_in_the_order_of_the_texts(ending: str) -> None:
    async with FakeEmbeddings() as endpoint:
        found = await embed(endpoint.url + ending, "one", "two", "three")
        assert found == [pytest.approx(vector_of(text)) for text in ("one", "two", "three")]
        assert endpoint.keys == [f"Bearer {KEY}"]


async def test_tokens_are_counted_and_a_length_is_asked_for() -> None:
    async with FakeEmbeddings() as endpoint:
        embedder = OpenAIEmbedder(base_url=endpoint.url, api_key=None, model="m", dimensions=16)
        made = await embedder.embed(["two words"], timeout_s=240)
        assert (made.tokens, len(made.vectors[0])) == (2, 16)
        endpoint.script.append(Reply(raw=vectors([1.0] * 16)))
        assert (await embedder.embed(["x"], timeout_s=240)).tokens == 0
        await embedder.close()


async def test_half_a_character_is_sent_as_a_question_mark() -> None:
    async with FakeEmbeddings() as endpoint:
        await embed(endpoint.url, "half \ud83d")
        assert endpoint.texts == ["half ?"]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(status=500), TransientError),
        (Reply(status=429), RateLimitError),
        (Reply(status=402), QuotaExhaustedError),
        (Reply(status=401), AuthInvalidError),
        (Reply(status=400), UnrecoverableError),
        (Reply(status=404), UnrecoverableError),
        (Reply(raw="<html>"), ParseError),
        (Reply(raw="[]"), ParseError),
        (Reply(raw='{"data": null}'), ParseError),
        (Reply(raw=vectors()), ParseError),
        (Reply(raw=vectors([1.0], [1.0])), ParseError),
        (Reply(raw=vectors(["far"])), ParseError),
        (Reply(raw=vectors([])), ParseError),
        (Reply(raw=vectors([0.0, 0.0])), ParseError),
        (Reply(raw='{"data": [{"embedding": [NaN]}]}'), ParseError),
        (Reply(raw='{"data": [{"index": 7, "embedding": [1.0]}]}'), ParseError),
    ],
)
async def test_failures_have_their_class_and_tell_neither_key_nor_text(
    reply: Reply, expected: type[GenerationError]
) -> None:
    async with FakeEmbeddings() as endpoint:
        endpoint.always = reply
        with pytest.raises(expected) as caught:
            await embed(endpoint.url, "what nobody may read")
        assert type(caught.value) is expected
        told = f"{caught.value!r} {caught.value.message} {caught.value.__cause__!r}"
        assert KEY not in told
        assert "nobody" not in told


async def test_vectors_of_several_lengths_are_refused() -> None:
    async with FakeEmbeddings() as endpoint:
        endpoint.always = Reply(raw=vectors([1.0, 0.0], [1.0]))
        with pytest.raises(ParseError, match="1 numbers where 2 are due"):
            await embed(endpoint.url, "a", "b")


async def test_a_slow_endpoint_is_given_up_in_time() -> None:
    never = asyncio.Event()
    async with FakeEmbeddings() as endpoint:
        endpoint.always = Reply(waits_for=never)
        with pytest.raises(ProviderTimeoutError, match=r"within 0\.1 s"):
            await embed(endpoint.url, "a", timeout_s=0.1)
        never.set()


async def test_nobody_there_is_a_passing_failure() -> None:
    with pytest.raises(TransientError, match="cannot be reached"):
        await embed(f"http://127.0.0.1:{free_port()}/v1", "a")
