"""Failover between real SDKs and servers with the real wire formats, and what the settings make of it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from claude_mem.environment import Role
from claude_mem.generation import (
    AuthInvalidError,
    EventInput,
    GenerationError,
    GenerationRequest,
    ModeLibrary,
    ParseError,
    Provider,
    ProviderResult,
    RateLimitError,
    TransientError,
    UnrecoverableError,
    Usage,
    build_provider,
)
from claude_mem.generation.failover import CIRCUIT_OPEN, FailoverProvider
from claude_mem.generation.prompts import MAX_PROMPT_TOKENS
from claude_mem.generation.providers.offline import OfflineProvider
from claude_mem.process.parts import make_provider
from claude_mem.settings import ServerSettings
from tests.support.fake_llm import MODES, Answer, FakeLlm, Received

KEY = "sk-test-0123456789-very-secret"
SECRET_WORD = "xylophone-observation-payload"
MODE = ModeLibrary().load()
DOWN = MODES["transient"]


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def first() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server


@pytest.fixture
async def second() -> AsyncIterator[FakeLlm]:
    async with FakeLlm() as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def pair(first: FakeLlm, second: FakeLlm, clock: Clock) -> AsyncIterator[FailoverProvider]:
    made = FailoverProvider(
        [
            build_provider(name="claude", api_key=KEY, base_url=first.url, timeout_s=120),
            build_provider(name="openrouter", api_key=KEY, base_url=second.url, timeout_s=120),
        ],
        clock=clock,
    )
    yield made
    await made.close()


def request(*, text: str = SECRET_WORD) -> GenerationRequest:
    return GenerationRequest(
        kind="event",
        job_id="job-1",
        project_id="p",
        team_id="t",
        events=(EventInput("e", "tool_use", "hook", 1_767_225_600_000, {"text": text}),),
        mode=MODE,
    )


async def failure(provider: Provider) -> GenerationError:
    with pytest.raises(GenerationError) as caught:
        await provider.generate(request())
    return caught.value


def always(server: FakeLlm, answer: Answer) -> None:
    server.respond = lambda _received: answer


async def test_the_first_is_asked_while_it_answers(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm
) -> None:
    assert isinstance(pair, Provider)
    assert (pair.name, pair.model) == ("claude", "claude-sonnet-5")
    first.script.append(Answer(usage=(120, 30)))
    result = await pair.generate(request())
    assert (result.provider, result.usage) == ("claude", Usage(120, 30, 150))
    assert (first.count, second.count) == (1, 0)


@pytest.mark.parametrize("mode", ["transient", "overloaded", "rate_limit", "auth", "reset"])
async def test_the_next_is_asked_when_one_fails(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm, mode: str
) -> None:
    first.script.append(MODES[mode])
    result = await pair.generate(request())
    assert (result.provider, result.model) == ("openrouter", "anthropic/claude-3.5-sonnet")
    assert len(result.reply.observations) == 1
    assert (first.count, second.count) == (1, 1)


async def test_a_used_up_quota_is_another_accounts_matter(first: FakeLlm, second: FakeLlm) -> None:
    provider = FailoverProvider(
        [
            build_provider(name="openrouter", api_key=KEY, base_url=first.url),
            build_provider(name="gemini", api_key=KEY, base_url=second.url),
        ]
    )
    first.script.append(MODES["quota"])
    assert (await provider.generate(request())).provider == "gemini"
    await provider.close()


async def test_the_next_is_asked_when_one_does_not_answer_in_time(first: FakeLlm, second: FakeLlm) -> None:
    provider = FailoverProvider(
        [
            build_provider(name="gemini", api_key=KEY, base_url=first.url, timeout_s=0.2),
            build_provider(name="claude", api_key=KEY, base_url=second.url),
        ]
    )
    first.script.append(Answer(hang=True))
    assert (await provider.generate(request())).provider == "claude"
    await provider.close()


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("nonsense", ParseError), ("garbage", ParseError), ("bad_request", UnrecoverableError)],
)
async def test_the_next_is_not_asked_when_the_request_or_the_answer_is_at_fault(
    pair: FailoverProvider,
    first: FakeLlm,
    second: FakeLlm,
    mode: str,
    expected: type[GenerationError],
) -> None:
    first.script.append(MODES[mode])
    error = await failure(pair)
    assert type(error) is expected
    assert error.provider == "claude"
    assert second.count == 0


def billed(status: int, tokens: int, **more: Any) -> Answer:
    """An error of Chat Completions that carries the tokens it cost."""
    spent = {"prompt_tokens": tokens, "completion_tokens": 0, "total_tokens": tokens}
    document = {"error": {"message": "later", "code": status}, "usage": spent}
    return Answer(status=status, document=document, **more)


@pytest.fixture
async def models(second: FakeLlm, first: FakeLlm) -> AsyncIterator[FailoverProvider]:
    """One provider with two models, then another provider."""
    made = FailoverProvider(
        [
            build_provider(name="openrouter", model="a", api_key=KEY, base_url=first.url),
            build_provider(name="openrouter", model="b", api_key=KEY, base_url=first.url),
            build_provider(name="claude", api_key=KEY, base_url=second.url),
        ]
    )
    yield made
    await made.close()


async def test_tokens_of_failed_calls_are_added_to_the_answers(
    models: FailoverProvider, first: FakeLlm, second: FakeLlm
) -> None:
    first.script.extend([billed(503, 100), billed(503, 40)])
    second.script.append(Answer(usage=(20, 3)))
    result = await models.generate(request())
    assert result.usage == Usage(160, 3, 163)
    assert [received.model for received in first.requests] == ["a", "b"]


async def test_tokens_of_failed_calls_are_added_to_the_error(
    models: FailoverProvider, first: FakeLlm, second: FakeLlm
) -> None:
    first.script.extend([billed(503, 100), billed(503, 40)])
    second.script.append(Answer(status=503))
    assert (await failure(models)).usage == Usage(140, 0, 140)
    first.script.append(billed(503, 100))
    first.script.append(Answer(text="nothing of the kind", usage=(7, 2)))
    error = await failure(models)
    assert isinstance(error, ParseError)
    assert error.usage == Usage(107, 2, 109)


async def test_no_tokens_are_invented(pair: FailoverProvider, first: FakeLlm, second: FakeLlm) -> None:
    always(first, DOWN)
    always(second, DOWN)
    assert (await failure(pair)).usage is None


LATER = Answer(status=429, headers={"retry-after": "60"})
SOON = Answer(status=429, headers={"retry-after": "7"})
REFUSED = Answer(status=401)


@pytest.mark.parametrize(
    ("answers", "provider", "expected", "wait_ms"),
    [
        ((LATER, SOON), "openrouter", RateLimitError, 7_000),
        ((SOON, LATER), "claude", RateLimitError, 7_000),
        ((LATER, DOWN), "openrouter", TransientError, None),
        ((DOWN, SOON), "claude", TransientError, None),
        ((REFUSED, LATER), "openrouter", RateLimitError, 60_000),
        ((DOWN, REFUSED), "claude", TransientError, None),
        ((REFUSED, Answer(status=402)), "claude", AuthInvalidError, None),
        ((REFUSED, REFUSED), "claude", AuthInvalidError, None),
    ],
)
async def test_of_the_errors_the_one_that_can_be_retried_soonest_is_raised(
    pair: FailoverProvider,
    first: FakeLlm,
    second: FakeLlm,
    answers: tuple[Answer, Answer],
    provider: str,
    expected: type[GenerationError],
    wait_ms: int | None,
) -> None:
    first.script.append(answers[0])
    second.script.append(answers[1])
    error = await failure(pair)
    assert (type(error), error.provider, error.retry_after_ms) == (expected, provider, wait_ms)


async def test_a_provider_that_asked_for_a_pause_comes_last_until_it_is_over(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm, clock: Clock
) -> None:
    first.script.append(LATER)
    await pair.generate(request())
    clock.now = 59
    await pair.generate(request())
    assert (first.count, second.count) == (1, 2)
    second.script.append(DOWN)
    assert (await pair.generate(request())).provider == "claude"
    clock.now = 61
    assert (await pair.generate(request())).provider == "claude"
    assert (first.count, second.count) == (3, 3)


async def test_a_provider_that_keeps_failing_is_left_alone(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    always(first, DOWN)
    for _ in range(15):
        assert (await pair.generate(request())).provider == "openrouter"
    assert (first.count, second.count) == (10, 15)
    clock.now += 5
    assert (await pair.generate(request())).provider == "openrouter"
    assert (await pair.generate(request())).provider == "openrouter"
    assert first.count == 11
    always(first, Answer())
    clock.now += 5
    for _ in range(3):
        assert (await pair.generate(request())).provider == "claude"
    ours = [record for record in caplog.records if record.name.startswith("claude_mem")]
    told = [record.message for record in ours]
    assert told.count("a provider keeps failing and is left alone for a while") == 2
    assert told.count("a provider answers again") == 1
    assert {getattr(record, "provider", None) for record in ours} == {"claude"}
    assert KEY not in caplog.text
    assert SECRET_WORD not in caplog.text


@pytest.mark.parametrize("mode", ["rate_limit", "auth", "bad_request", "nonsense"])
async def test_only_transient_failures_open_a_circuit(first: FakeLlm, mode: str) -> None:
    provider = FailoverProvider([build_provider(name="claude", api_key=KEY, base_url=first.url)])
    always(first, MODES[mode])
    for _ in range(12):
        assert (await failure(provider)).category != CIRCUIT_OPEN
    assert first.count == 12
    await provider.close()


async def test_no_call_is_made_while_every_circuit_is_open(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm, clock: Clock
) -> None:
    always(first, DOWN)
    always(second, DOWN)
    for _ in range(10):
        await failure(pair)
    clock.now += 1
    error = await failure(pair)
    assert type(error) is TransientError
    assert (error.category, error.usage) == (CIRCUIT_OPEN, None)
    assert error.retry_after_ms is not None
    assert 0 < error.retry_after_ms <= 5_000
    assert (first.count, second.count) == (10, 10)
    clock.now += error.retry_after_ms / 1000
    always(second, Answer())
    assert (await pair.generate(request())).provider == "openrouter"


async def test_an_open_circuit_beside_a_final_error_is_waited_for(
    pair: FailoverProvider, first: FakeLlm, second: FakeLlm
) -> None:
    always(first, DOWN)
    for _ in range(10):
        await pair.generate(request())
    second.script.append(billed(401, 5))
    error = await failure(pair)
    assert (type(error), error.provider) == (TransientError, "claude")
    assert error.category is None, "a call was made, so this is no request that nobody was called for"
    assert error.usage == Usage(5, 0, 5)


async def test_of_many_at_once_one_is_the_probe(first: FakeLlm, clock: Clock) -> None:
    provider = FailoverProvider([build_provider(name="claude", api_key=KEY, base_url=first.url)], clock=clock)
    always(first, DOWN)
    outcomes = await asyncio.gather(*(failure(provider) for _ in range(32)))
    assert len(outcomes) == 32
    before = first.count
    clock.now += 5
    # As long as all others take to ask, on a busy machine.
    always(first, Answer(delay_s=1.0))
    done = await asyncio.gather(*(provider.generate(request()) for _ in range(32)), return_exceptions=True)
    assert first.count == before + 1
    assert [type(one) for one in done].count(TransientError) == 31
    assert [type(one) for one in done].count(ProviderResult) == 1
    await asyncio.gather(*(provider.generate(request()) for _ in range(8)))
    assert first.count == before + 9
    await provider.close()


async def test_a_probe_that_is_cancelled_does_not_keep_the_circuit_shut(first: FakeLlm, clock: Clock) -> None:
    provider = FailoverProvider([build_provider(name="claude", api_key=KEY, base_url=first.url)], clock=clock)
    always(first, DOWN)
    for _ in range(10):
        await failure(provider)
    clock.now += 5
    arrived = asyncio.Event()

    def hang(_received: Received) -> Answer:
        arrived.set()
        return Answer(hang=True)

    first.respond = hang
    probe = asyncio.create_task(provider.generate(request()))
    async with asyncio.timeout(60):
        await arrived.wait()
    probe.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probe
    always(first, Answer())
    assert (await provider.generate(request())).provider == "claude"
    await provider.close()


class Unforeseen:
    """A provider with a fault of its own: neither its calls nor its closing end well."""

    name = "claude"
    model = "m"

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        raise LookupError(f"a fault on the way to {request.job_id}")

    async def close(self) -> None:
        raise ConnectionResetError("already gone")


async def test_an_error_that_nobody_foresaw_is_not_hidden() -> None:
    provider = FailoverProvider([Unforeseen(), OfflineProvider()])
    with pytest.raises(LookupError):
        await provider.generate(request())


async def test_all_are_closed_even_where_closing_one_fails(first: FakeLlm) -> None:
    kept = build_provider(name="openrouter", api_key=KEY, base_url=first.url)
    with pytest.raises(ConnectionResetError):
        await FailoverProvider([Unforeseen(), kept]).close()
    with pytest.raises(RuntimeError, match="has been closed"):
        await kept.generate(request())


def test_without_a_provider_it_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        FailoverProvider([])


DEPLOYED = {"CLAUDE_MEM_SERVER_DATABASE_URL": "postgresql://app:pw@db.example.com/memory"}


def settings(environ: dict[str, str], *, role: Role = Role.WORKER) -> ServerSettings:
    return ServerSettings.from_environ({**DEPLOYED, **environ}, role=role, container=False)


def environment(first: FakeLlm, second: FakeLlm) -> dict[str, str]:
    return {
        "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
        "CLAUDE_MEM_SERVER_MODEL": "main",
        "OPENROUTER_API_KEY": KEY,
        "CLAUDE_MEM_OPENROUTER_BASE_URL": first.url,
        "ANTHROPIC_API_KEY": KEY,
        "CLAUDE_MEM_ANTHROPIC_BASE_URL": second.url,
    }


async def asked(provider: Provider, *servers: FakeLlm) -> list[str]:
    """Models that are asked for one request while none answers, in order."""
    order: list[str] = []
    for server in servers:

        def respond(received: Received) -> Answer:
            order.append(received.model)
            return DOWN

        server.respond = respond
    await failure(provider)
    return order


async def test_the_settings_name_the_order(first: FakeLlm, second: FakeLlm) -> None:
    environ = environment(first, second)
    environ["CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS"] = (
        " Anthropic:claude-haiku-4-5, openrouter:meta/llama:free ,openrouter:main,, claude, claude "
    )
    provider = make_provider(settings(environ).generation)
    assert await asked(provider, first, second) == [
        "main",
        "claude-haiku-4-5",
        "meta/llama:free",
        "claude-sonnet-5",
    ]
    await provider.close()


async def test_one_provider_alone_has_a_circuit_too(first: FakeLlm, second: FakeLlm) -> None:
    provider = make_provider(settings(environment(first, second)).generation)
    always(first, DOWN)
    for _ in range(12):
        await failure(provider)
    assert (first.count, second.count) == (10, 0)
    await provider.close()


async def test_a_server_leaves_out_what_it_cannot_use(first: FakeLlm, second: FakeLlm) -> None:
    environ = environment(first, second)
    environ["CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS"] = "mistral,gemini,claude:b"
    read = settings(environ, role=Role.SERVER)
    assert {problem.rule for problem in read.verdict.warnings} == {
        "fallback-unknown",
        "fallback-without-key:gemini",
    }
    provider = make_provider(read.generation)
    assert await asked(provider, first, second) == ["main", "b"]
    await provider.close()


async def test_the_size_of_a_prompt_is_a_setting(first: FakeLlm, second: FakeLlm) -> None:
    text = "many words " * 2_000
    sizes = []
    for bound in ("", "2000"):
        environ = {**environment(first, second), "CLAUDE_MEM_MAX_PROMPT_TOKENS": bound}
        provider = make_provider(settings(environ).generation)
        await provider.generate(request(text=text))
        await provider.close()
        sizes.append(len(first.last.system + first.last.user) / 3.5)
    assert 4_000 < sizes[0] <= MAX_PROMPT_TOKENS
    assert sizes[1] <= 2_000


def test_the_default_size_is_the_providers_own() -> None:
    assert (
        settings({"CLAUDE_MEM_SERVER_PROVIDER": "offline"}).generation.max_prompt_tokens == MAX_PROMPT_TOKENS
    )


def test_offline_stays_alone() -> None:
    environ = {
        "CLAUDE_MEM_SERVER_PROVIDER": "offline",
        "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "gemini",
    }
    read = settings(environ)
    assert isinstance(make_provider(read.generation), OfflineProvider)


def test_without_a_provider_none_is_made() -> None:
    with pytest.raises(ValueError, match="no provider"):
        make_provider(settings({}, role=Role.SERVER).generation)
