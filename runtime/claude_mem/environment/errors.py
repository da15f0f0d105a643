"""The rules that keep a process from starting, in the order in which their messages are told.

Runtime, authentication, bypass, engine, database and Redis come first, as in claude-mem 13; clients match
"is not allowed in Docker".
"""

from __future__ import annotations

from functools import partial
from typing import Final

from claude_mem.environment import breaches
from claude_mem.environment.catalogue import generation, service, tenancy
from claude_mem.environment.providers import PROVIDERS
from claude_mem.environment.rule import BOTH, SERVER, WORKER, Rule, Severity, Where
from claude_mem.environment.urls import SSL_MODES

_error = partial(Rule, severity=Severity.ERROR)
_PROVIDERS = ", ".join(PROVIDERS)
_SSL_MODES = ", ".join(SSL_MODES)

ERRORS: Final[tuple[Rule, ...]] = (
    _error(
        id="runtime",
        variable=service.RUNTIME.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="server or server-beta, in lower case",
        breach=breaches.foreign_runtime,
        message="{variable}={value} is not a runtime of a container: images run the server and nothing else.",
        remedy="Set {variable}=server; server-beta is accepted too, both in lower case.",
    ),
    _error(
        id="auth-mode",
        variable=tenancy.AUTH_MODE.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="not local-dev",
        breach=breaches.local_dev,
        message=(
            "{variable}=local-dev is not allowed in Docker or any other container: it admits callers "
            "without a key, which is for one person's own machine."
        ),
        remedy="Set {variable}=api-key or leave it out.",
    ),
    _error(
        id="local-dev-bypass",
        variable=tenancy.ALLOW_LOCAL_DEV_BYPASS.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="not 1 or true",
        breach=breaches.bypass_on,
        message=(
            "{variable}={value} is not allowed in Docker or any other container: behind a proxy or beside "
            "another container, a stranger's request comes from loopback too."
        ),
        remedy="Remove {variable}; callers present an API key.",
    ),
    _error(
        id="queue-engine-required",
        variable=service.QUEUE_ENGINE.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="set",
        breach=breaches.no_engine,
        message="{variable} is required in a container: servers and workers meet in a queue outside both.",
        remedy=(
            "Set {variable}=dramatiq and CLAUDE_MEM_REDIS_URL. (Where the container is only your development "
            "machine, CLAUDE_MEM_DOCKER=0 says so.)"
        ),
    ),
    _error(
        id="queue-engine-in-process",
        variable=service.QUEUE_ENGINE.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="not in-process (sqlite)",
        breach=breaches.in_process_engine,
        message=(
            "{variable}={value} is not allowed in Docker or any other container: its jobs would die with it."
        ),
        remedy="Set {variable}=dramatiq and CLAUDE_MEM_REDIS_URL.",
    ),
    _error(
        id="queue-engine",
        variable=service.QUEUE_ENGINE.name,
        roles=BOTH,
        where=Where.ANY,
        demand="dramatiq (bullmq), or in-process (sqlite), in any case",
        breach=breaches.unknown_engine,
        message="{variable}={value} is not allowed: there is no queue engine of that name.",
        remedy=(
            "Set {variable}=dramatiq (bullmq means the same); in-process is for development outside "
            "containers."
        ),
    ),
    _error(
        id="database-required",
        variable=service.DATABASE_URL.name,
        roles=BOTH,
        where=Where.DEPLOYABLE,
        demand="set",
        breach=breaches.no_database,
        message="{variable} is required: everything but local development keeps its memories in PostgreSQL.",
        remedy="Set {variable}=postgresql://USER:PASSWORD@HOST:5432/DATABASE.{instead}",
    ),
    _error(
        id="redis-required",
        variable=service.REDIS_URL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="set, where the engine is dramatiq",
        breach=breaches.no_redis,
        message=(
            "{variable} is required with CLAUDE_MEM_QUEUE_ENGINE=dramatiq: the queue lives in Valkey or "
            "Redis."
        ),
        remedy="Set {variable}=redis://HOST:6379/0, or rediss:// for TLS.",
    ),
    _error(
        id="generation-disabled",
        variable=generation.GENERATION_DISABLED.name,
        roles=SERVER,
        where=Where.CONTAINER,
        demand="1 or true",
        breach=breaches.server_generates,
        message=(
            "{variable} must be 1 or true for the HTTP server in a container, and {state}: workers generate "
            "there, so that requests and generation scale and fail apart."
        ),
        remedy="Set {variable}=true on the server; workers ignore it.",
    ),
    _error(
        id="provider-required",
        variable=generation.PROVIDER.name,
        roles=WORKER,
        where=Where.DEPLOYABLE,
        demand="set",
        breach=breaches.no_provider,
        message=(
            "{variable} is required for a worker: without a provider it would take no job and say nothing."
        ),
        remedy=f"Set {{variable}} to one of {_PROVIDERS}, and the provider's API key.",
    ),
    _error(
        id="provider-offline",
        variable=generation.PROVIDER.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="not offline",
        breach=breaches.offline_provider,
        message=(
            "{variable}=offline is not allowed in Docker or any other container: it distils by rule, "
            "without a model, and is for development."
        ),
        remedy=f"Set {{variable}} to one of {_PROVIDERS}, and the provider's API key.",
    ),
    _error(
        id="provider",
        variable=generation.PROVIDER.name,
        roles=WORKER,
        where=Where.ANY,
        demand=f"{_PROVIDERS} (or anthropic, which is claude), in any case",
        breach=breaches.unknown_provider,
        message="{variable}={value} is not a provider: a worker could not generate with it.",
        remedy=f"Set {{variable}} to one of {_PROVIDERS}; anthropic means claude.",
    ),
    _error(
        id="provider-key",
        variable="the provider's key",
        roles=WORKER,
        where=Where.ANY,
        demand="set under one of its names, where the provider is named",
        breach=breaches.no_key,
        message=(
            "{variable} is required with CLAUDE_MEM_SERVER_PROVIDER={provider}: every call needs its key."
        ),
        remedy="Set {variable} or {others}; an empty value does not count.",
    ),
    _error(
        id="provider-fallbacks",
        variable=generation.PROVIDER_FALLBACKS.name,
        roles=WORKER,
        where=Where.ANY,
        demand=f"{_PROVIDERS} (or anthropic), each with or without a model",
        breach=breaches.unknown_fallback,
        message="{variable}={value} names {entry}, which is not a provider that a worker could fall back to.",
        remedy=f"List some of {_PROVIDERS} there, as in gemini,claude:claude-haiku-4-5, or remove {{variable}}.",
    ),
    *(
        _error(
            id=f"provider-fallback-key:{provider.name}",
            variable=provider.key.name,
            roles=WORKER,
            where=Where.ANY,
            demand=f"set under one of its names, where {provider.name} is a fallback",
            breach=breaches.fallback_without_key(provider),
            message=(
                f"{{variable}} is required with {provider.name} in {generation.PROVIDER_FALLBACKS.name}: "
                "every call needs its key."
            ),
            remedy="Set {variable} or {others}; an empty value does not count.",
        )
        for provider in PROVIDERS.values()
    ),
    _error(
        id="database-url",
        variable=service.DATABASE_URL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="a postgres:// or postgresql:// URL with sound ports and a known sslmode",
        breach=breaches.bad_database_url,
        message="{variable}={value} is not a URL of PostgreSQL, because {reason}.",
        remedy="Write it as postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
    ),
    _error(
        id="redis-url",
        variable=service.REDIS_URL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="a redis:// or rediss:// URL with a sound port, database number and options",
        breach=breaches.bad_redis_url,
        message="{variable}={value} is not a URL of Valkey or Redis, because {reason}.",
        remedy="Write it as redis://USER:PASSWORD@HOST:6379/0, or with rediss:// for TLS.",
    ),
    *(
        _error(
            id=f"ssl-mode:{variable.name}",
            variable=variable.name,
            roles=BOTH,
            where=Where.DEPLOYABLE,
            demand=f"one of {_SSL_MODES}",
            breach=breaches.bad_ssl_mode(variable),
            message=(
                "{variable}={value} is not a TLS mode, and guessing could leave the connection unencrypted."
            ),
            remedy=f"Set {{variable}} to one of {_SSL_MODES}.",
        )
        for variable in (service.POSTGRES_SSL, service.PGSSLMODE)
    ),
    _error(
        id="provider-base-url",
        variable="the provider's base URL",
        roles=BOTH,
        where=Where.ANY,
        demand="an http or https URL, where the process generates",
        breach=breaches.bad_base_url,
        message="{variable}={value} is not an address of a provider, because {reason}.",
        remedy="Write it as https://HOST/PATH, or remove {variable} to use the provider's own address.",
    ),
    _error(
        id="heartbeat",
        variable=generation.HEARTBEAT_SECONDS.name,
        roles=BOTH,
        where=Where.ANY,
        demand="shorter than the lease",
        breach=breaches.slow_heartbeat,
        message=(
            "{variable}={value} is not shorter than the lease of {lease} s: running jobs would be taken away."
        ),
        remedy=(
            "Remove {variable}, which makes it a third of CLAUDE_MEM_JOB_LEASE_SECONDS, or lengthen the "
            "lease."
        ),
    ),
)
