"""Every row of the table of rules, for both roles, inside and outside containers."""

from __future__ import annotations

import pytest

from claude_mem.environment import RULES, Role, Severity, check
from claude_mem.environment.verdict import EnvironmentInvalid
from tests.support.environments import (
    CONTAINERS,
    DATABASE,
    EVERYWHERE,
    HOSTS,
    KEY,
    REDIS,
    SERVERS,
    WORKERS,
    Change,
    Place,
    judge,
)

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
        {"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE, "PGSSLROOTCERT": "/ca.pem"},
        EVERYWHERE,
        "postgres-authorities-unused",
        "PGSSLROOTCERT names authorities, but TLS to PostgreSQL is prefer",
    ),
    (
        {
            "CLAUDE_MEM_SERVER_DATABASE_URL": f"{DATABASE}?sslrootcert=/ca.pem&sslmode=verify-full",
            "CLAUDE_MEM_POSTGRES_SSL": "disable",
        },
        EVERYWHERE,
        "postgres-authorities-unused",
        "CLAUDE_MEM_SERVER_DATABASE_URL names authorities, but TLS to PostgreSQL is disable",
    ),
    (
        {
            "CLAUDE_MEM_REDIS_URL": REDIS,
            "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
            "CLAUDE_MEM_REDIS_CA_FILE": "/ca.pem",
        },
        EVERYWHERE,
        "redis-authorities-unused",
        "CLAUDE_MEM_REDIS_URL begins with redis://",
    ),
    (
        {
            "CLAUDE_MEM_REDIS_URL": "rediss://h:6380/0?ssl_cert_reqs=none&ssl_cert_reqs=required",
            "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq",
            "CLAUDE_MEM_REDIS_CA_FILE": "/ca.pem",
        },
        EVERYWHERE,
        "redis-authorities-unused",
        "CLAUDE_MEM_REDIS_URL says ssl_cert_reqs=none, so that no certificate is checked",
    ),
    *(
        (
            {"CLAUDE_MEM_SERVER_DATABASE_URL": url, "PGHOST": host, "PGSSLROOTCERT": "/ca.pem"},
            EVERYWHERE,
            "postgres-authorities-unused",
            "PGSSLROOTCERT names authorities, but TLS to PostgreSQL is prefer",
        )
        for url, host in (
            ("postgres://h/d?host=/run/postgresql", None),  # the host in front wins
            ("postgres:///d?host=/run/postgresql,h", None),
            ("postgres://:5433/d", None),
            ("postgres:///d", "/run/postgresql,h"),
            ("postgres:///d?service=memory", None),
        )
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


@pytest.mark.parametrize(
    ("change", "opaque"),
    [
        ({"CLAUDE_MEM_POSTGRES_SSL": "verify-full"}, set()),
        ({"CLAUDE_MEM_POSTGRES_SSL": "require"}, set()),  # with authorities it checks, as libpq's does
        ({"PGSSLMODE": "verify-ca"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": f"{DATABASE}?sslmode=verify-full", "PGSSLMODE": "allow"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": None}, {"CLAUDE_MEM_SERVER_DATABASE_URL"}),
        ({"CLAUDE_MEM_POSTGRES_SSL": None}, {"CLAUDE_MEM_POSTGRES_SSL"}),
        # By sockets of this machine, on which there is no TLS at all.
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///d?host=/run/postgresql&port=5433"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres://u@%2Ftmp:5433,%2Frun/d", "PGHOST": "h"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///d?host=/tmp&service=memory"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///d?host=&sslrootcert=/ca.pem"}, set()),
        ({"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///d", "PGHOST": "/run/postgresql"}, set()),
        (
            # Of several values the client takes the first.
            {
                "CLAUDE_MEM_POSTGRES_SSL": "verify-full",
                "CLAUDE_MEM_REDIS_URL": "rediss://h/0?ssl_cert_reqs=optional&ssl_cert_reqs=none",
            },
            set(),
        ),
    ],
)
def test_authorities_that_are_asked_or_may_be_are_not_warned_of(change: Change, opaque: set[str]) -> None:
    named: Change = {"PGSSLROOTCERT": "/ca.pem", "CLAUDE_MEM_REDIS_CA_FILE": "/ca.pem"}
    secure: Change = {"CLAUDE_MEM_REDIS_URL": "rediss://h:6380/0", "CLAUDE_MEM_QUEUE_ENGINE": "dramatiq"}
    assert judge({**named, **secure, **change}, ("worker", True), opaque=opaque).warnings == ()


def test_hosts_that_nobody_can_look_at_are_taken_for_another_machine() -> None:
    change: Change = {"CLAUDE_MEM_SERVER_DATABASE_URL": "postgres:///d", "PGSSLROOTCERT": "/ca.pem"}
    assert judge(change, ("server", False)).warnings == ()
    told = judge(change, ("server", False), opaque={"PGHOST"}).warnings
    assert [problem.rule for problem in told] == ["postgres-authorities-unused"]


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
