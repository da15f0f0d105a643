"""What an environment makes of a process: its mode, queue and provider."""

from __future__ import annotations

import pytest

from claude_mem.environment import AuthMode, Mode, QueueEngine, Role, check
from tests.support.environments import DATABASE, HOST, KEY, REDIS, SERVER_CONTAINER, WORKER_CONTAINER, judge


@pytest.mark.parametrize("role", list(Role))
def test_nothing_set_outside_a_container_is_local_development(role: Role) -> None:
    verdict = check({}, role=role, container=False)
    assert verdict.ok
    assert verdict.mode is Mode.LOCAL_DEVELOPMENT
    assert verdict.auth_mode is AuthMode.LOCAL_DEV
    assert verdict.queue_engine is QueueEngine.IN_PROCESS
    assert verdict.provider == "offline"
    assert (verdict.has_database, verdict.has_redis, verdict.generation_disabled) == (False, False, False)


@pytest.mark.parametrize(
    ("environ", "mode"),
    [
        ({"CLAUDE_MEM_QUEUE_ENGINE": "in-process"}, Mode.LOCAL_DEVELOPMENT),
        ({"CLAUDE_MEM_QUEUE_ENGINE": "SQLITE"}, Mode.LOCAL_DEVELOPMENT),
        ({"CLAUDE_MEM_QUEUE_ENGINE": "kafka"}, Mode.LOCAL_DEVELOPMENT),
        ({"CLAUDE_MEM_SERVER_PORT": "5000", "CLAUDE_MEM_RUNTIME": "worker"}, Mode.LOCAL_DEVELOPMENT),
        ({"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1"}, Mode.LOCAL_DEVELOPMENT),
        ({"CLAUDE_MEM_QUEUE_ENGINE": "dramatiq"}, Mode.DEPLOYABLE),
        ({"CLAUDE_MEM_QUEUE_ENGINE": "bullmq"}, Mode.DEPLOYABLE),
        ({"CLAUDE_MEM_REDIS_URL": REDIS}, Mode.DEPLOYABLE),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE}, Mode.DEPLOYABLE),
        ({"CLAUDE_MEM_AUTH_MODE": "local-dev"}, Mode.DEPLOYABLE),
        ({"CLAUDE_MEM_AUTH_MODE": "anything"}, Mode.DEPLOYABLE),
    ],
)
def test_what_makes_a_deployment(environ: dict[str, str], mode: Mode) -> None:
    assert check(environ, role=Role.SERVER, container=False).mode is mode
    assert check(environ, role=Role.SERVER, container=True).mode is Mode.DEPLOYABLE


@pytest.mark.parametrize(
    ("engine", "expected"),
    [
        ("", QueueEngine.DISABLED),
        ("sqlite", QueueEngine.DISABLED),
        ("in-process", QueueEngine.DISABLED),
        ("bullmq", QueueEngine.DRAMATIQ),
        ("dramatiq", QueueEngine.DRAMATIQ),
    ],
)
def test_the_queue_of_a_host_with_postgres(engine: str, expected: QueueEngine) -> None:
    environ = {**HOST, "CLAUDE_MEM_REDIS_URL": REDIS, "CLAUDE_MEM_QUEUE_ENGINE": engine}
    verdict = check(environ, role=Role.SERVER, container=False)
    assert verdict.ok
    assert verdict.queue_engine is expected


@pytest.mark.parametrize(
    ("provider", "environ", "expected"),
    [
        ("", {}, None),
        ("offline", {}, "offline"),
        ("ANTHROPIC", {"ANTHROPIC_API_KEY": KEY}, "claude"),
        ("claude", {}, None),
        ("gemini", {"CLAUDE_MEM_GEMINI_API_KEY": KEY}, "gemini"),
        ("ollama", {}, None),
    ],
)
def test_the_provider_of_a_server_on_a_host(
    provider: str, environ: dict[str, str], expected: str | None
) -> None:
    verdict = check(
        {**HOST, "CLAUDE_MEM_SERVER_PROVIDER": provider, **environ}, role=Role.SERVER, container=False
    )
    assert verdict.ok
    assert verdict.provider == expected


def test_a_worker_generates_whatever_it_inherits() -> None:
    assert not check(WORKER_CONTAINER, role=Role.WORKER, container=True).generation_disabled
    assert check(SERVER_CONTAINER, role=Role.SERVER, container=True).generation_disabled


def test_every_missing_key_is_told_of_once() -> None:
    change = {
        "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "claude:b,gemini,gemini:c,openrouter",
        "ANTHROPIC_API_KEY": None,
    }
    found = [problem.variable for problem in judge({**change}, ("worker", True)).errors]
    assert found == ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"]


def test_offline_needs_no_fallback() -> None:
    environ = {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "gemini,ollama"}
    assert check(environ, role=Role.WORKER, container=False).errors == ()


def test_the_worker_may_be_offline_on_a_host_only_when_told() -> None:
    assert check({**HOST, "CLAUDE_MEM_SERVER_PROVIDER": "offline"}, role=Role.WORKER, container=False).ok
    assert not check(HOST, role=Role.WORKER, container=False).ok
