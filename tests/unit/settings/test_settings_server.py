"""The settings that an environment gives a process."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from claude_mem.environment import AuthMode, Mode, QueueEngine, Role
from claude_mem.environment.catalogue import VARIABLES, service
from claude_mem.environment.catalogue.client import CLIENT
from claude_mem.environment.naming import Fallback
from claude_mem.settings import EnvironmentInvalid, HttpSettings, ServerSettings, groups
from claude_mem.settings.fields import sources

DATABASE = "postgresql://app:s3cret-pw@db.example.com:5432/memory"
REDIS = "rediss://:hunter2-pw@valkey.example.com:6380/1"
HOST = {"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE, "HOME": "/home/ada"}
WORKER = {
    **HOST,
    "CLAUDE_MEM_QUEUE_ENGINE": "bullmq",
    "CLAUDE_MEM_REDIS_URL": REDIS,
    "CLAUDE_MEM_RUNTIME": "server",
    "CLAUDE_MEM_SERVER_PROVIDER": "anthropic",
    "CLAUDE_MEM_ANTHROPIC_API_KEY": "sk-ant-secret-key",
    "ANTHROPIC_API_KEY": "",
    "CLAUDE_MEM_GENERATION_DISABLED": "true",
}


def server(environ: dict[str, str]) -> ServerSettings:
    return ServerSettings.from_environ(environ, role=Role.SERVER, container=False)


def test_local_development() -> None:
    settings = server({"HOME": "/home/ada"})
    assert settings.verdict.mode is Mode.LOCAL_DEVELOPMENT
    assert settings.database.url is None
    assert settings.database.sqlite_path == Path("/home/ada/.claude-mem/server.db")
    assert settings.queue.engine is QueueEngine.IN_PROCESS
    assert (settings.auth.mode, settings.auth.bypass) == (AuthMode.LOCAL_DEV, True)
    assert (settings.generation.provider, settings.generation.enabled) == ("offline", True)
    assert (settings.http.host, settings.http.port) == ("127.0.0.1", 37877 + os.getuid() % 100)


def test_the_defaults() -> None:
    settings = server({**HOST})
    assert settings.http.body_limit_bytes == 5 * 1024 * 1024
    assert settings.http.wait_timeout_ms == 30_000
    assert settings.http.public_url is None
    assert settings.database.pool_max == 10
    assert settings.database.pool_idle_timeout_ms == 30_000
    assert settings.database.connect_timeout_ms == 5_000
    assert settings.database.statement_timeout_ms == 30_000
    assert settings.queue.prefix == "claude_mem"
    assert (settings.auth.mode, settings.auth.bypass) == (AuthMode.API_KEY, False)
    assert settings.auth.failures_per_minute == 60
    assert settings.limits.requests_per_minute is None
    assert settings.limits.monthly_requests is None
    assert settings.limits.monthly_tokens is None
    assert not settings.limits.metering
    assert (settings.generation.concurrency, settings.generation.max_attempts) == (32, 3)
    assert settings.generation.daily_token_budget == 20_000_000
    assert (settings.generation.fallbacks, settings.generation.max_prompt_tokens) == ((), 24_000)
    assert settings.generation.openrouter_base_url == "https://openrouter.ai/api/v1"
    assert settings.generation.mode == "code"
    assert settings.jobs.lease_seconds == 30
    assert settings.jobs.heartbeat_seconds == 10
    assert settings.jobs.retry_base_seconds == 5
    assert (settings.log.level, settings.log.format) == ("INFO", "text")
    assert not settings.generation.enabled


def test_a_worker_in_a_container() -> None:
    settings = ServerSettings.from_environ(WORKER, role=Role.WORKER, container=True)
    assert not settings.generation.disabled
    assert settings.generation.enabled
    assert (settings.generation.provider, settings.generation.model) == ("claude", "claude-sonnet-5")
    assert settings.generation.anthropic_key is not None
    assert settings.generation.anthropic_key.get_secret_value() == "sk-ant-secret-key"
    assert settings.queue.engine is QueueEngine.DRAMATIQ
    assert settings.queue.redis_url is not None
    assert settings.queue.redis_url.get_secret_value() == REDIS


def test_a_server_in_a_container_does_not_generate() -> None:
    settings = ServerSettings.from_environ(WORKER, role=Role.SERVER, container=True)
    assert settings.generation.disabled
    assert not settings.generation.enabled


def test_a_broken_rule_keeps_the_settings_back() -> None:
    with pytest.raises(EnvironmentInvalid, match="local-dev is not allowed in Docker") as raised:
        ServerSettings.from_environ(
            {**WORKER, "CLAUDE_MEM_AUTH_MODE": "local-dev"}, role=Role.SERVER, container=True
        )
    assert [problem.rule for problem in raised.value.verdict.errors] == ["auth-mode"]


def test_whether_it_is_a_container_is_looked_for() -> None:
    environ = {"CLAUDE_MEM_DOCKER": "1"}
    with pytest.raises(EnvironmentInvalid):
        ServerSettings.from_environ(environ, role=Role.SERVER)
    assert ServerSettings.from_environ(environ, role=Role.SERVER, container=False).verdict.ok


@pytest.mark.parametrize(
    ("environ", "bypass"),
    [
        ({}, True),
        ({"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1"}, True),
        ({"CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "0"}, False),
        ({**HOST, "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1"}, False),
        ({**HOST, "CLAUDE_MEM_AUTH_MODE": "local-dev"}, False),
        ({**HOST, "CLAUDE_MEM_AUTH_MODE": "local-dev", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "true"}, False),
        ({**HOST, "CLAUDE_MEM_AUTH_MODE": "local-dev", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": " 1 "}, True),
        ({**HOST, "CLAUDE_MEM_AUTH_MODE": "disabled", "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS": "1"}, False),
    ],
)
def test_who_comes_in_without_a_key(environ: dict[str, str], bypass: bool) -> None:
    assert server(environ).auth.bypass is bypass


@pytest.mark.parametrize(
    ("own", "query", "pg", "expected"),
    [
        ("", "", "", "prefer"),
        ("", "", "verify-ca", "verify-ca"),
        ("", "?sslmode=require", "disable", "require"),
        ("", "?sslmode=no-verify", "", "require"),
        (" Verify-Full ", "?sslmode=disable", "allow", "verify-full"),
        ("disable", "", "require", "disable"),
    ],
)
def test_tls_to_postgres(own: str, query: str, pg: str, expected: str) -> None:
    settings = server(
        {
            "CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE + query,
            "CLAUDE_MEM_POSTGRES_SSL": own,
            "PGSSLMODE": pg,
        }
    )
    assert settings.database.ssl == expected


@pytest.mark.parametrize(
    ("query", "pg", "expected"),
    [
        ("", "", None),
        ("", "/etc/ssl/team.pem", Path("/etc/ssl/team.pem")),
        ("?sslrootcert=/etc/ssl/url.pem", "/etc/ssl/team.pem", Path("/etc/ssl/url.pem")),
    ],
)
def test_the_authorities_that_postgres_is_verified_against(
    query: str, pg: str, expected: Path | None
) -> None:
    settings = server({"CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE + query, "PGSSLROOTCERT": pg})
    assert settings.database.ssl_root_cert == expected


@pytest.mark.parametrize(
    ("url", "file", "expected"),
    [
        ("rediss://h/0", "/ca 1.pem", "rediss://h/0?ssl_ca_certs=/ca%201.pem"),
        ("rediss://h/0?db=1", "/ca.pem", "rediss://h/0?db=1&ssl_ca_certs=/ca.pem"),
        ("rediss://h/0?ssl_ca_certs=/own.pem", "/ca.pem", "rediss://h/0?ssl_ca_certs=/own.pem"),
        ("rediss://h/0", " ", "rediss://h/0"),
        ("redis://h/0", "/ca.pem", "redis://h/0"),
    ],
)
def test_the_authorities_that_valkey_is_verified_against(url: str, file: str, expected: str) -> None:
    settings = server(
        {
            "CLAUDE_MEM_REDIS_URL": url,
            "CLAUDE_MEM_REDIS_CA_FILE": file,
            "CLAUDE_MEM_SERVER_DATABASE_URL": DATABASE,
        }
    )
    assert settings.queue.redis_url is not None
    assert settings.queue.redis_url.get_secret_value() == expected


@pytest.mark.parametrize(
    ("raw", "limit"),
    [("", None), ("0", None), ("NaN", None), ("-3", None), ("5", 5), ("1e3", 1000), (" 7.0 ", 7)],
)
def test_limits_are_off_unless_they_say_a_number(raw: str, limit: int | None) -> None:
    settings = server(
        {
            "CLAUDE_MEM_RATE_LIMIT_PER_MIN": raw,
            "CLAUDE_MEM_MONTHLY_REQUEST_CAP": raw,
            "CLAUDE_MEM_MONTHLY_TOKEN_CAP": raw,
        }
    )
    limits = settings.limits
    assert (limits.requests_per_minute, limits.monthly_requests, limits.monthly_tokens) == (limit,) * 3


def test_a_budget_and_the_failure_limit_can_be_turned_off() -> None:
    settings = server({"CLAUDE_MEM_DAILY_TOKEN_BUDGET": "0", "CLAUDE_MEM_AUTH_FAILURES_PER_MIN": "0"})
    assert settings.generation.daily_token_budget is None
    assert settings.auth.failures_per_minute is None


@pytest.mark.parametrize("raw", ["", "abc", "0", "-1", "65536", "12 13", "٣٧"])
def test_a_bad_port_is_the_default(raw: str) -> None:
    assert server({"CLAUDE_MEM_SERVER_PORT": raw}).http.port == 37877 + os.getuid() % 100


def test_the_port_where_there_are_no_user_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "getuid")
    assert service.SERVER_PORT.default({}) == 37877 + 77


def test_values_as_written() -> None:
    settings = server(
        {
            "CLAUDE_MEM_PUBLIC_URL": "https://memory.example.com//",
            "CLAUDE_MEM_CORS_ORIGINS": "https://A.example.com, http://b.example.com:8080/",
            "CLAUDE_MEM_LOG_LEVEL": "warn",
            "CLAUDE_MEM_LOG_FORMAT": "JSON",
            "CLAUDE_MEM_JOB_LEASE_SECONDS": "6",
            "CLAUDE_MEM_MODES_DIR": "/srv/modes",
            "CLAUDE_MEM_DATA_DIR": "/srv/data",
            "CLAUDE_MEM_SERVER_PROVIDER": "openrouter",
            "OPENROUTER_API_KEY": "k",
            "CLAUDE_MEM_OPENROUTER_BASE_URL": " ",
            "OPENROUTER_BASE_URL": "http://localhost:9999/v1",
            "CLAUDE_MEM_SERVER_MODEL": "local/model",
            "CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS": "openrouter: other/model:free , Anthropic",
            "CLAUDE_MEM_MAX_PROMPT_TOKENS": "8000",
        }
    )
    assert settings.http.public_url == "https://memory.example.com"
    assert settings.http.cors_origins == ("https://a.example.com", "http://b.example.com:8080")
    assert (settings.log.level, settings.log.format) == ("WARN", "json")
    assert settings.jobs.heartbeat_seconds == 2
    assert settings.paths.modes_dir == Path("/srv/modes")
    assert settings.database.sqlite_path == Path("/srv/data/server.db")
    assert settings.generation.openrouter_base_url == "http://localhost:9999/v1"
    assert settings.generation.model == "local/model"
    assert settings.generation.fallbacks == (
        Fallback("openrouter", "other/model:free"),
        Fallback("claude", None),
    )
    assert settings.generation.max_prompt_tokens == 8_000


@pytest.mark.parametrize(
    ("home", "expected"), [("/home/ada", "/home/ada/.claude-mem"), ("relative", "/var/lib/claude-mem")]
)
def test_the_data_directory(home: str, expected: str) -> None:
    assert server({"HOME": home}).paths.data_dir == Path(expected)


def test_no_secret_in_the_repr() -> None:
    environ = {**WORKER, "CLAUDE_MEM_ANTHROPIC_BASE_URL": "https://u:gateway-pw@gateway.example.com"}
    told = repr(ServerSettings.from_environ(environ, role=Role.WORKER, container=True))
    for secret in ("s3cret-pw", "hunter2-pw", "sk-ant-secret-key", "gateway-pw"):
        assert secret not in told


def test_frozen() -> None:
    http: Any = HttpSettings()
    with pytest.raises(FrozenInstanceError):
        http.port = 1


def test_every_variable_of_a_server_reaches_a_setting() -> None:
    parts = [getattr(groups, name) for name in vars(groups) if name.endswith("Settings")]
    held = {variable.name for group in parts for variable in sources(group)}
    judged_only = {"CLAUDE_MEM_RUNTIME", "CLAUDE_MEM_DOCKER"}
    assert held == {variable.name for variable in VARIABLES if variable.group != CLIENT} - judged_only
    assert [one.name for group in parts for one in fields(group) if not one.metadata] == []
