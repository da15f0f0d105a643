"""The groups of settings; what a field means, its unit, its default and the reason stand with its variable.

A group built with no arguments holds the defaults of local development, which is what tests of one part want.
"""

# ruff: noqa: RUF009 - `setting` and `resolved` make dataclass fields, which no two instances share

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from claude_mem.environment import AuthMode, QueueEngine
from claude_mem.environment.catalogue import embedding, generation, service, tenancy
from claude_mem.environment.providers import OFFLINE
from claude_mem.environment.tls import DEFAULT_SSL_MODE
from claude_mem.settings.fields import resolved, setting

if TYPE_CHECKING:
    from pydantic import SecretStr

    from claude_mem.environment.naming import Fallback

SQLITE_FILE: Final = "server.db"


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """Where the server listens and what it lets in; sizes in bytes, the wait in milliseconds."""

    host: str = setting(service.SERVER_HOST)
    port: int = setting(service.SERVER_PORT)
    public_url: str | None = setting(service.PUBLIC_URL)
    body_limit_bytes: int = setting(service.BODY_LIMIT_BYTES)
    import_spool_bytes: int = setting(service.IMPORT_SPOOL_BYTES)
    cors_origins: tuple[str, ...] = setting(service.CORS_ORIGINS)
    wait_timeout_ms: int = setting(service.WAIT_TIMEOUT_MS)
    managed: bool = setting(service.MANAGED)
    metrics_token: SecretStr | None = setting(service.METRICS_TOKEN)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """PostgreSQL where `url` is set, else SQLite at `sqlite_path`; timeouts in milliseconds.

    `ssl` is one of libpq's modes, worked out of CLAUDE_MEM_POSTGRES_SSL, the URL's sslmode and PGSSLMODE, in
    this order; it is to be used in place of the URL's. `ssl_root_cert` is the file of authorities to verify
    against; None stands for the system's.
    """

    url: SecretStr | None = setting(service.DATABASE_URL)
    pool_max: int = setting(service.POOL_MAX)
    pool_idle_timeout_ms: int = setting(service.POOL_IDLE_TIMEOUT_MS)
    connect_timeout_ms: int = setting(service.POOL_CONNECTION_TIMEOUT_MS)
    statement_timeout_ms: int = setting(service.POOL_STATEMENT_TIMEOUT_MS)
    ssl: str = resolved(DEFAULT_SSL_MODE, service.POSTGRES_SSL, service.PGSSLMODE, service.DATABASE_URL)
    ssl_root_cert: Path | None = resolved(None, service.PGSSLROOTCERT, service.DATABASE_URL)
    sqlite_path: Path = resolved(Path(SQLITE_FILE), service.DATA_DIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """What carries jobs; `redis_url` is set where the engine is Dramatiq."""

    engine: QueueEngine = resolved(QueueEngine.IN_PROCESS, service.QUEUE_ENGINE)
    redis_url: SecretStr | None = resolved(None, service.REDIS_URL, service.REDIS_CA_FILE)
    prefix: str = setting(service.QUEUE_REDIS_PREFIX)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """How callers are known. `bypass` lets loopback callers in without a key; a limit of None is off."""

    mode: AuthMode = resolved(AuthMode.API_KEY, tenancy.AUTH_MODE)
    bypass: bool = resolved(False, tenancy.ALLOW_LOCAL_DEV_BYPASS)  # noqa: FBT003 - the value of a field
    failures_per_minute: int | None = setting(tenancy.AUTH_FAILURES_PER_MIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """What a key may ask for in a minute and a team use in a month; None is off."""

    requests_per_minute: int | None = setting(tenancy.RATE_LIMIT_PER_MIN)
    monthly_requests: int | None = setting(tenancy.MONTHLY_REQUEST_CAP)
    monthly_tokens: int | None = setting(tenancy.MONTHLY_TOKEN_CAP)
    metering: bool = setting(tenancy.USAGE_METERING)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSettings:
    """Who generates, with what, at what cost; the timeout in seconds, the budget in tokens a day and team.

    `provider` is None where none can be used. A base URL of None is the provider's own. The model is the one
    that is set, else the provider's default. `fallbacks` are as they are written: a server that generates may
    hold some that are unknown or lack their key, and leaves those out.
    """

    disabled: bool = resolved(False, generation.GENERATION_DISABLED)  # noqa: FBT003 - the value of a field
    provider: str | None = resolved(OFFLINE, generation.PROVIDER)
    model: str | None = resolved(None, generation.MODEL)
    fallbacks: tuple[Fallback, ...] = setting(generation.PROVIDER_FALLBACKS)
    anthropic_key: SecretStr | None = setting(generation.ANTHROPIC_KEY)
    gemini_key: SecretStr | None = setting(generation.GEMINI_KEY)
    openrouter_key: SecretStr | None = setting(generation.OPENROUTER_KEY)
    anthropic_base_url: str | None = setting(generation.ANTHROPIC_BASE_URL)
    gemini_base_url: str | None = setting(generation.GEMINI_BASE_URL)
    openrouter_base_url: str | None = setting(generation.OPENROUTER_BASE_URL)
    timeout_seconds: float = setting(generation.PROVIDER_TIMEOUT_SECONDS)
    max_prompt_tokens: int = setting(generation.MAX_PROMPT_TOKENS)
    concurrency: int = setting(generation.CONCURRENCY)
    max_attempts: int = setting(generation.MAX_ATTEMPTS)
    daily_token_budget: int | None = setting(generation.DAILY_TOKEN_BUDGET)
    events_per_call: int = setting(generation.EVENTS_PER_CALL)
    session_window_ms: int = setting(generation.SESSION_WINDOW_MS)
    summary_refresh_ms: int = setting(generation.SUMMARY_REFRESH_MS)
    keep_trivial_events: bool = setting(generation.KEEP_TRIVIAL_EVENTS)
    mode: str = setting(generation.MODE)
    language: str = setting(generation.LANGUAGE)

    @property
    def enabled(self) -> bool:
        """Whether this process turns events into observations."""
        return not self.disabled and self.provider is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingSettings:
    """Where vectors are made, and how long that may take; the similarity in percent, a text in characters."""

    base_url: str | None = setting(embedding.BASE_URL)
    api_key: SecretStr | None = setting(embedding.API_KEY)
    model: str | None = setting(embedding.MODEL)
    dimensions: int | None = setting(embedding.DIMENSIONS)
    min_similarity: int = setting(embedding.MIN_SIMILARITY)
    query_timeout_ms: int = setting(embedding.QUERY_TIMEOUT_MS)
    timeout_seconds: float = setting(embedding.TIMEOUT_SECONDS)
    batch: int = setting(embedding.BATCH)
    max_characters: int = setting(embedding.MAX_CHARACTERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSettings:
    """How jobs are held and retried, in seconds."""

    lease_seconds: float = setting(generation.LEASE_SECONDS)
    heartbeat_seconds: float = resolved(10.0, generation.HEARTBEAT_SECONDS)
    retry_base_seconds: float = setting(generation.RETRY_BASE_SECONDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """Where files are."""

    data_dir: Path = setting(service.DATA_DIR)
    modes_dir: Path | None = setting(service.MODES_DIR)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is logged, and how: `level` is DEBUG, INFO, WARN or ERROR, `format` is text or json; where traces go."""

    level: str = setting(service.LOG_LEVEL)
    format: str = setting(service.LOG_FORMAT)
    otlp_endpoint: str | None = setting(service.OTLP_ENDPOINT)
