"""Every row of the table of rules, for both roles, inside and outside containers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.environment import RULES, AuthMode, Mode, QueueEngine, Role, Severity, Verdict, check
from claude_mem.environment.catalogue import NAMES, UNREAD, VARIABLES
from claude_mem.environment.verdict import EnvironmentInvalid

DATABASE = "postgresql://app:s3cret@db.example.com:5432/memory"
REDIS = "redis://:hunter2@valkey.example.com:6379/0"
KEY = "sk-ant-api03-not-a-real-key"

SERVER_CONTAINER = {
    "CLAUDE_MEM_RUNTIME": "server",
    "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
    "CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE,
    "CLAUDE_MEM_REDIS_URL": REDIS,
    "CLAUDE_MEM_GENERATION_DISABLED": "true",
}
WORKER_CONTAINER = {**SERVER_CONTAINER, "CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": KEY}
HOST = {"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE}
HOST_WORKER = {**HOST, "CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": KEY}

BASES = {
    ("server", True): SERVER_CONTAINER,
    ("worker", True): WORKER_CONTAINER,
    ("server", False): HOST,
    ("worker", False): HOST_WORKER,
}
EVERYWHERE = tuple(BASES)
CONTAINERS = (("server", True), ("worker", True))
HOSTS = (("server", False), ("worker", False))
SERVERS = (("server", True), ("server", False))
WORKERS = (("worker", True), ("worker", False))

Place = tuple[str, bool]
Change = dict[str, str | None]

# What is changed in a good environment, the places where that breaks a rule, the rule, a part of its message.
ERROR_ROWS: list[tuple[Change, tuple[Place, ...], str, str]] = [
    ({"CLAUDE_MEM_RUNTIME": "worker"}, CONTAINERS, "runtime", "CLAUDE_MEM_RUNTIME=worker"),
    ({"CLAUDE_MEM_RUNTIME": "Server"}, CONTAINERS, "runtime", "CLAUDE_MEM_RUNTIME=Server"),
    (
        {"CLAUDE_MEM_AUTH_MODE": "local-dev"},
        CONTAINERS,
        "auth-mode",
        "CLAUDE_MEM_AUTH_MODE=local-dev is not allowed in Docker",
    ),
    ({"CLAUDE_MEM_AUTH_MODE": " local-dev "}, CONTAINERS, "auth-mode", "local-dev is not allowed in Docker"),
    ({"CLAUDE_MEM_AUTH_MODE": "Local-Dev"}, CONTAINERS, "auth-mode", "local-dev is not allowed in Docker"),
    (
        {"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1"},
        CONTAINERS,
        "local-dev-bypass",
        "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS=1 is not allowed in Docker",
    ),
    ({"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": " TRUE "}, CONTAINERS, "local-dev-bypass", "not allowed"),
    ({"CLAUDE_MEM_QUEUE_ENGINE": None}, CONTAINERS, "queue-engine-required", "is required"),
    ({"CLAUDE_MEM_QUEUE_ENGINE": "in-process"}, CONTAINERS, "queue-engine-in-process", "not allowed"),
    ({"CLAUDE_MEM_QUEUE_ENGINE": "SQLite"}, CONTAINERS, "queue-engine-in-process", "not allowed"),
    ({"CLAUDE_MEM_QUEUE_ENGINE": "kafka"}, EVERYWHERE, "queue-engine", "CLAUDE_MEM_QUEUE_ENGINE=kafka"),
    ({"CLAUDE_MEM_SERVER_DATABASE_URL": None}, CONTAINERS, "database-required", "is required"),
    (
        {"CLAUDE_MEM_SERVER_DATABASE_URL": None, "CLAUDE_MEM_AUTH_MODE": "api-key"},
        EVERYWHERE,
        "database-required",
        "CLAUDE_MEM_SERVER_DATABASE_URL is required",
    ),
    (
        {"CLAUDE_MEM_SERVER_DATABASE_URL": None, "CLAUDE_MEM_REDIS_URL": REDIS},
        EVERYWHERE,
        "database-required",
        "PostgreSQL",
    ),
    (
        {"CLAUDE_MEM_REDIS_URL": None, "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq"},
        EVERYWHERE,
        "redis-required",
        "CLAUDE_MEM_REDIS_URL is required",
    ),
    (
        {"CLAUDE_MEM_REDIS_URL": None, "CLAUDE_MEM_QUEUE_ENGINE": " BullMQ "},
        EVERYWHERE,
        "redis-required",
        "required",
    ),
    ({"CLAUDE_MEM_GENERATION_DISABLED": None}, (("server", True),), "generation-disabled", "is not set"),
    ({"CLAUDE_MEM_GENERATION_DISABLED": "0"}, (("server", True),), "generation-disabled", "something else"),
    ({"CLAUDE_MEM_SERVER_PROVIDER": None}, WORKERS, "provider-required", "required for a worker"),
    ({"CLAUDE_MEM_SERVER_PROVIDER": "offline"}, CONTAINERS, "provider-offline", "not allowed in Docker"),
    ({"CLAUDE_MEM_SERVER_PROVIDER": "ollama"}, WORKERS, "provider", "CLAUDE_MEM_SERVER_PROVIDER=ollama"),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER": "claude", "ANTHROPIC_API_KEY": None},
        WORKERS,
        "provider-key",
        "ANTHROPIC_API_KEY is required",
    ),
    ({"CLAUDE_MEM_SERVER_PROVIDER": "gemini"}, WORKERS, "provider-key", "GEMINI_API_KEY is required"),
    ({"CLAUDE_MEM_SERVER_PROVIDER": "openrouter"}, WORKERS, "provider-key", "OPENROUTER_API_KEY is required"),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "claude:a,ollama:llama3"},
        WORKERS,
        "provider-fallbacks",
        "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS=claude:a,ollama:llama3 names ollama",
    ),
    ({"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "offline"}, WORKERS, "provider-fallbacks", "names offline"),
    ({"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": ":model"}, WORKERS, "provider-fallbacks", "not a provider"),
    (
        {
            "CLAUDE_MEM_SERVER_PROVIDER": "gemini",
            "GEMINI_API_KEY": KEY,
            "ANTHROPIC_API_KEY": " ",
            "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "Anthropic:claude-haiku-4-5",
        },
        WORKERS,
        "provider-fallback-key:claude",
        "ANTHROPIC_API_KEY is required with claude in CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS",
    ),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "gemini,openrouter"},
        WORKERS,
        "provider-fallback-key:gemini",
        "GEMINI_API_KEY is required",
    ),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "gemini,openrouter:meta/llama:free"},
        WORKERS,
        "provider-fallback-key:openrouter",
        "OPENROUTER_API_KEY is required",
    ),
    (
        {
            "CLAUDE_MEM_SERVER_PROVIDER": "claude",
            "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "gemini",
            "GEMINI_API_KEY": KEY,
            "CLAUDE_MEM_GEMINI_BASE_URL": "gateway.example.com",
        },
        (*WORKERS, ("server", False)),
        "provider-base-url",
        "CLAUDE_MEM_GEMINI_BASE_URL",
    ),
    ({"CLAUDE_MEM_SERVER_DATABASE_URL": "mysql://h/d"}, EVERYWHERE, "database-url", "postgres://"),
    ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres://h:99999/d"}, EVERYWHERE, "database-url", "port"),
    ({"CLAUDE_MEM_REDIS_URL": "http://h:6379"}, EVERYWHERE, "redis-url", "redis://"),
    ({"CLAUDE_MEM_REDIS_URL": "redis://h:0/1"}, EVERYWHERE, "redis-url", "port"),
    ({"CLAUDE_MEM_REDIS_URL": "redis://h:6379/one"}, EVERYWHERE, "redis-url", "database"),
    (
        {"CLAUDE_MEM_POSTGRES_SSL": "verify_full"},
        EVERYWHERE,
        "ssl-mode:CLAUDE_MEM_POSTGRES_SSL",
        "CLAUDE_MEM_POSTGRES_SSL=verify_full",
    ),
    ({"PGSSLMODE": "on"}, EVERYWHERE, "ssl-mode:PGSSLMODE", "PGSSLMODE=on"),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER": "claude", "CLAUDE_MEM_ANTHROPIC_BASE_URL": "gateway.example.com"},
        (*WORKERS, ("server", False)),
        "provider-base-url",
        "CLAUDE_MEM_ANTHROPIC_BASE_URL",
    ),
    (
        {"CLAUDE_MEM_JOB_LEASE_SECONDS": "5", "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS": "5"},
        EVERYWHERE,
        "heartbeat",
        "lease of 5 s",
    ),
]

WARNING_ROWS: list[tuple[Change, tuple[Place, ...], str, str]] = [
    ({"CLAUDE_MEM_RUNTIME": None}, CONTAINERS, "runtime-unset", "CLAUDE_MEM_RUNTIME is not set"),
    ({"CLAUDE_MEM_AUTH_MODE": "oauth"}, EVERYWHERE, "auth-mode-unknown", "CLAUDE_MEM_AUTH_MODE=oauth"),
    ({"CLAUDE_MEM_AUTH_MODE": "disabled"}, SERVERS, "auth-mode-disabled", "still need a key"),
    ({"CLAUDE_MEM_AUTH_MODE": "local-dev"}, (("server", False),), "local-dev-without-bypass", "exactly 1"),
    (
        {"CLAUDE_MEM_AUTH_MODE": "local-dev", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "true"},
        (("server", False),),
        "local-dev-without-bypass",
        "exactly 1",
    ),
    (
        {"CLAUDE_MEM_REDIS_URL": REDIS, "CLAUDE_MEM_QUEUE_ENGINE": None},
        HOSTS,
        "redis-unused",
        "no queue uses it",
    ),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER": "ollama"},
        (("server", False),),
        "provider-unknown",
        "CLAUDE_MEM_SERVER_PROVIDER=ollama",
    ),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER": "gemini"},
        (("server", False),),
        "provider-without-key",
        "gemini has no key",
    ),
    (
        {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "ollama"},
        (("server", False),),
        "fallback-unknown",
        "names ollama",
    ),
    *(
        (
            {"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": name, "ANTHROPIC_API_KEY": None},
            (("server", False),),
            f"fallback-without-key:{name}",
            f"CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS names {name}, which has no key",
        )
        for name in ("claude", "gemini", "openrouter")
    ),
    (
        {"CLAUDE_MEM_EMBEDDINGS_BASE_URL": "https://vectors.example.com/v1"},
        EVERYWHERE,
        "embeddings-without-model",
        "without CLAUDE_MEM_EMBEDDINGS_MODEL",
    ),
    (
        {
            "CLAUDE_MEM_SERVER_DATABASE_URL": None,
            "CLAUDE_MEM_EMBEDDINGS_BASE_URL": "https://vectors.example.com/v1",
            "CLAUDE_MEM_EMBEDDINGS_MODEL": "some-model",
        },
        EVERYWHERE,
        "embeddings-without-postgres",
        "SQLite holds no vectors",
    ),
]


def judge(change: Change, place: Place) -> Verdict:
    environ = {**BASES[place], **{name: value for name, value in change.items() if value is not None}}
    for name, value in change.items():
        if value is None:
            environ.pop(name, None)
    return check(environ, role=Role(place[0]), container=place[1])


@pytest.mark.parametrize("place", EVERYWHERE)
def test_a_good_environment_has_no_problem(place: Place) -> None:
    verdict = judge({}, place)
    assert verdict.ok
    assert verdict.warnings == ()
    assert verdict.render() == "server startup configuration is valid"


@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize(("change", "places", "rule", "fragment"), ERROR_ROWS)
def test_error_rows(
    change: Change, places: tuple[Place, ...], rule: str, fragment: str, place: Place
) -> None:
    found = {problem.rule: problem for problem in judge(change, place).errors}
    assert (rule in found) == (place in places)
    if rule in found:
        assert fragment in str(found[rule])
        assert found[rule].remedy


@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize(("change", "places", "rule", "fragment"), WARNING_ROWS)
def test_warning_rows(
    change: Change, places: tuple[Place, ...], rule: str, fragment: str, place: Place
) -> None:
    found = {problem.rule: problem for problem in judge(change, place).warnings}
    assert (rule in found) == (place in places)
    if rule in found:
        assert fragment in str(found[rule])


def test_every_rule_has_a_row_here() -> None:
    tried = {rule for _, _, rule, _ in (*ERROR_ROWS, *WARNING_ROWS)}
    assert {rule.id for rule in RULES if not rule.id.startswith(("value:", "unread:"))} == tried
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize("place", EVERYWHERE)
@pytest.mark.parametrize(
    "change",
    [
        {"CLAUDE_MEM_RUNTIME": "server-beta"},
        {"CLAUDE_MEM_RUNTIME": "  server "},
        {"CLAUDE_MEM_QUEUE_ENGINE": "BullMQ", "CLAUDE_MEM_REDIS_URL": REDIS},
        {"CLAUDE_MEM_QUEUE_ENGINE": " Dramatiq\n", "CLAUDE_MEM_REDIS_URL": "rediss://u:p@h:6380/15"},
        {"CLAUDE_MEM_AUTH_MODE": "api-key"},
        {"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "0"},
        {"CLAUDE_MEM_SERVER_PROVIDER": "Anthropic", "ANTHROPIC_API_KEY": KEY},
        {
            "CLAUDE_MEM_SERVER_PROVIDER": "claude",
            "ANTHROPIC_API_KEY": "",
            "CLAUDE_MEM_ANTHROPIC_API_KEY": KEY,
        },
        {"CLAUDE_MEM_SERVER_PROVIDER": "gemini", "GEMINI_API_KEY": " ", "CLAUDE_MEM_GEMINI_API_KEY": KEY},
        {"CLAUDE_MEM_SERVER_PROVIDER": "OpenRouter", "CLAUDE_MEM_OPENROUTER_API_KEY": KEY},
        {
            "CLAUDE_MEM_SERVER_PROVIDER": "claude",
            "ANTHROPIC_API_KEY": KEY,
            "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": " Claude:claude-haiku-4-5 ,, GEMINI,openrouter:a/b:free,",
            "CLAUDE_MEM_GEMINI_API_KEY": KEY,
            "OPENROUTER_API_KEY": KEY,
        },
        {"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///memory?host=/run/postgresql"},
        {"CLAUDE_MEM_SERVER_DATABASE_URL": "postgresql://u:p@[::1]:5432,h2:5433/d?sslmode=verify-full"},
        {"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres://u@h/d?sslmode=no-verify"},
        {"CLAUDE_MEM_POSTGRES_SSL": "verify-full"},
        {"PGSSLMODE": "prefer"},
    ],
    ids=str,
)
def test_accepted_spellings(change: Change, place: Place) -> None:
    verdict = judge(change, place)
    assert verdict.ok, verdict.render()
    assert verdict.runtime == "server"


def test_all_errors_come_at_once_in_the_fixed_order() -> None:
    environ = {
        "CLAUDE_MEM_AUTH_MODE": "local-dev",
        "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1",
        "CLAUDE_MEM_RUNTIME": "worker",
        "CLAUDE_MEM_QUEUE_ENGINE": "bullmq",
        "CLAUDE_MEM_SERVER_PROVIDER": "claude",
    }
    server = check(environ, role=Role.SERVER, container=True)
    first = ["runtime", "auth-mode", "local-dev-bypass", "database-required", "redis-required"]
    assert [problem.rule for problem in server.errors] == [*first, "generation-disabled"]
    worker = check(environ, role=Role.WORKER, container=True)
    assert [problem.rule for problem in worker.errors] == [*first, "provider-key"]
    lines = server.render().splitlines()
    assert lines[0] == "server startup configuration is invalid:"
    assert [line[:4] for line in lines[1:]] == ["  - "] * len(server.errors)
    assert [problem.variable for problem in server.errors[:5]] == [
        "CLAUDE_MEM_RUNTIME",
        "CLAUDE_MEM_AUTH_MODE",
        "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS",
        "CLAUDE_MEM_SERVER_DATABASE_URL",
        "CLAUDE_MEM_REDIS_URL",
    ]
    assert str(EnvironmentInvalid(server)) == server.render()


def test_errors_stand_before_warnings_in_the_table() -> None:
    severities = [rule.severity for rule in RULES]
    assert severities == sorted(severities, key=list(Severity).index)


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


@given(
    name=st.sampled_from(sorted(NAMES | set(UNREAD))),
    blank=st.text(alphabet=" \t\r\n\v\f\u00a0\u2003", max_size=5),
    place=st.sampled_from(EVERYWHERE),
)
def test_blank_equals_unset(name: str, blank: str, place: Place) -> None:
    base = {**BASES[place]}
    base.pop(name, None)
    role = Role(place[0])
    unset = check(base, role=role, container=place[1])
    assert check({**base, name: blank}, role=role, container=place[1]) == unset


@given(
    name=st.sampled_from(sorted(NAMES)),
    value=st.text(min_size=1, max_size=80),
    place=st.sampled_from(EVERYWHERE),
)
def test_any_value_gets_a_verdict_of_whole_lines(name: str, value: str, place: Place) -> None:
    verdict = check({**BASES[place], name: value}, role=Role(place[0]), container=place[1])
    lines = verdict.render().splitlines()
    assert len(lines) == 1 + len(verdict.errors)
    for problem in verdict.warnings:
        assert len(str(problem).splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CLAUDE_MEM_SERVER_PORT", "http"),
        ("CLAUDE_MEM_SERVER_PORT", "70000"),
        ("CLAUDE_MEM_POSTGRES_POOL_MAX", "0"),
        ("CLAUDE_MEM_POSTGRES_STATEMENT_TIMEOUT_MS", "-1"),
        ("CLAUDE_MEM_RATE_LIMIT_PER_MIN", "NaN"),
        ("CLAUDE_MEM_MONTHLY_TOKEN_CAP", "1_000"),
        ("CLAUDE_MEM_MONTHLY_REQUEST_CAP", "-5"),
        ("CLAUDE_MEM_DAILY_TOKEN_BUDGET", "lots"),
        ("CLAUDE_MEM_JOB_LEASE_SECONDS", "inf"),
        ("CLAUDE_MEM_USAGE_METERING", "yes"),
        ("CLAUDE_MEM_DOCKER", "yes"),
        ("CLAUDE_MEM_LOG_LEVEL", "LOUD"),
        ("CLAUDE_MEM_PUBLIC_URL", "memory.example.com"),
        ("CLAUDE_MEM_CORS_ORIGINS", "https://a.example.com/path"),
        ("CLAUDE_MEM_QUEUE_REDIS_PREFIX", "{x}"),
        ("CLAUDE_MEM_MODE", "../code"),
        ("CLAUDE_MEM_DATA_DIR", "~nobody-of-this-name/x"),
        ("CLAUDE_MEM_RATE_LIMIT_PER_MIN", "1e300"),
    ],
)
def test_a_meaningless_value_is_only_warned_of(name: str, value: str) -> None:
    verdict = check({name: value}, role=Role.SERVER, container=False)
    assert verdict.ok
    assert [problem.variable for problem in verdict.warnings] == [name]
    assert "default" in verdict.warnings[0].remedy


@pytest.mark.parametrize("name", UNREAD)
def test_a_variable_of_old_that_is_not_read_is_warned_of(name: str) -> None:
    verdict = check({name: "x"}, role=Role.SERVER, container=False)
    assert [str(problem) for problem in verdict.warnings] == [f"{name} is not read. {UNREAD[name]}"]


def test_a_warning_gives_way_to_an_error_about_the_same_variable() -> None:
    verdict = judge({"CLAUDE_MEM_GENERATION_DISABLED": "yes"}, ("server", True))
    assert [problem.rule for problem in verdict.errors] == ["generation-disabled"]
    assert verdict.warnings == ()


SECRET = "tOpSeCrEt99"  # the text no message may hold


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://user:{SECRET}@host/db",
        f"postgres://user:{SECRET}@host:port/db",
        f"postgres://user:{SECRET}/{SECRET}@host/db",
        f"postgres://user:1/{SECRET}@host/db",
        f"postgres://user:1?{SECRET}@host/db",
        f"postgres://user:a#{SECRET}@host/db",
        f"postgres://user:a@{SECRET}@host/db",
        f"postgres://user:a {SECRET}@host/db",
        f"postgres://{SECRET}@host/db?sslmode=maybe",
        f"postgres://host/db?password={SECRET}&sslmode=maybe",
        f"host/db user {SECRET}",
        f"http://:{SECRET}@host",
        f"redis://:{SECRET}@host/x",
    ],
)
@pytest.mark.parametrize(
    "name", ["CLAUDE_MEM_SERVER_DATABASE_URL", "CLAUDE_MEM_REDIS_URL", "CLAUDE_MEM_ANTHROPIC_BASE_URL"]
)
def test_no_password_is_told(name: str, url: str) -> None:
    verdict = judge({name: url}, ("worker", False))
    told = verdict.model_dump_json() + verdict.render()
    assert SECRET not in told
    if name != "CLAUDE_MEM_ANTHROPIC_BASE_URL":
        assert not verdict.ok


@pytest.mark.parametrize(
    "name",
    [name for variable in VARIABLES if not variable.sensitive for name in variable.names],
)
def test_no_key_in_the_wrong_variable_is_told(name: str) -> None:
    key = "sk-ant-api03-AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"
    for place in EVERYWHERE:
        verdict = judge({name: key}, place)
        assert key[6:] not in verdict.model_dump_json() + verdict.render()


def test_opaque_variables_count_as_set_and_are_not_judged() -> None:
    shown = {"CLAUDE_MEM_RUNTIME": "server", "CLAUDE_MEM_SERVER_PROVIDER": "claude"}
    hidden = [
        "CLAUDE_MEM_SERVER_DATABASE_URL",
        "CLAUDE_MEM_REDIS_URL",
        "CLAUDE_MEM_QUEUE_ENGINE",
        "CLAUDE_MEM_ANTHROPIC_API_KEY",
    ]
    verdict = check(shown, role=Role.WORKER, container=True, opaque=hidden)
    assert verdict.ok, verdict.render()
    assert verdict.warnings == ()
    assert (verdict.provider, verdict.has_database, verdict.has_redis) == ("claude", True, True)
    assert not check(shown, role=Role.WORKER, container=True, opaque=hidden[1:]).ok
    everything = check({}, role=Role.WORKER, container=True, opaque=NAMES)
    assert everything.ok, everything.render()


def test_the_verdict_as_json_is_in_camel_case() -> None:
    told = json.loads(check({}, role=Role.SERVER, container=True).model_dump_json())
    assert told["ok"] is False
    assert told["queueEngine"] == "disabled"
    assert set(told["errors"][0]) == {"rule", "variable", "value", "message", "remedy"}


def test_it_needs_pydantic_and_nothing_else_of_ours() -> None:
    """The operator imports these rules, and must not get the runtime with them."""
    script = (
        "import sys; before = set(sys.modules); import claude_mem.environment; "
        "print('\\n'.join(set(sys.modules) - before))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    packages = {name.split(".")[0] for name in loaded.split()}
    allowed = {
        "claude_mem",
        "pydantic",
        "pydantic_core",
        "annotated_types",
        "typing_extensions",
        "typing_inspection",
    }
    foreign = packages - allowed - set(sys.stdlib_module_names)
    assert {name for name in foreign if not name.startswith("_sysconfigdata")} == set()
    ours = {name for name in loaded.split() if name.startswith("claude_mem.")}
    assert all(name.startswith("claude_mem.environment") for name in ours)
