"""The rules whose breach is only warned of: the process starts, though perhaps not as it was meant to."""

from __future__ import annotations

from functools import partial
from typing import Final

from claude_mem.environment import breaches
from claude_mem.environment.catalogue import UNREAD, VARIABLES, embedding, generation, service, tenancy
from claude_mem.environment.catalogue.client import CLIENT
from claude_mem.environment.providers import PROVIDERS
from claude_mem.environment.rule import BOTH, SERVER, Rule, Severity, Where

_caution = partial(Rule, severity=Severity.WARNING)
_PROVIDERS = ", ".join(PROVIDERS)

CAUTIONS: Final[tuple[Rule, ...]] = (
    _caution(
        id="runtime-unset",
        variable=service.RUNTIME.name,
        roles=BOTH,
        where=Where.CONTAINER,
        demand="set",
        breach=breaches.no_runtime,
        message="{variable} is not set, so server is assumed.",
        remedy="Set {variable}=server.",
    ),
    _caution(
        id="auth-mode-unknown",
        variable=tenancy.AUTH_MODE.name,
        roles=BOTH,
        where=Where.ANY,
        demand="api-key, local-dev or disabled, in any case",
        breach=breaches.unknown_auth_mode,
        message="{variable}={value} is not a mode of authentication, so api-key is used.",
        remedy="Set {variable}=api-key or leave it out.",
    ),
    _caution(
        id="auth-mode-disabled",
        variable=tenancy.AUTH_MODE.name,
        roles=SERVER,
        where=Where.ANY,
        demand="not disabled",
        breach=breaches.disabled_auth,
        message="{variable}=disabled is only a label: callers still need a key.",
        remedy="Set {variable}=api-key.",
    ),
    _caution(
        id="local-dev-without-bypass",
        variable=tenancy.ALLOW_LOCAL_DEV_BYPASS.name,
        roles=SERVER,
        where=Where.DEPLOYABLE,
        demand="exactly 1, where CLAUDE_MEM_AUTH_MODE=local-dev",
        breach=breaches.local_dev_without_bypass,
        message=(
            "CLAUDE_MEM_AUTH_MODE=local-dev admits nobody without a key while {variable} is not exactly 1."
        ),
        remedy="Set {variable}=1 to let loopback callers in without a key.",
    ),
    _caution(
        id="redis-unused",
        variable=service.REDIS_URL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="unset, on a host where the engine is not dramatiq",
        breach=breaches.idle_redis,
        message="{variable} is set, but no queue uses it.",
        remedy="Set CLAUDE_MEM_QUEUE_ENGINE=dramatiq, or remove {variable}.",
    ),
    _caution(
        id="postgres-authorities-unused",
        variable=service.PGSSLROOTCERT.name,
        roles=BOTH,
        where=Where.DEPLOYABLE,
        demand=(
            "unset, as the URL's sslrootcert, where TLS to PostgreSQL is disable, allow or prefer, and its host is named "
            "and no Unix socket"
        ),
        breach=breaches.idle_postgres_authorities,
        message=(
            "{variable} names authorities, but TLS to PostgreSQL is {mode}, which checks no certificate: whoever "
            "answers there is believed."
        ),
        remedy=f"Set {service.POSTGRES_SSL.name}=verify-full.",
    ),
    _caution(
        id="redis-authorities-unused",
        variable=service.REDIS_CA_FILE.name,
        roles=BOTH,
        where=Where.DEPLOYABLE,
        demand="unset, where CLAUDE_MEM_REDIS_URL begins with redis:// or says ssl_cert_reqs=none",
        breach=breaches.idle_redis_authorities,
        message=(
            "{variable} names authorities, but CLAUDE_MEM_REDIS_URL {state} and whoever answers there is believed."
        ),
        remedy="{change}",
    ),
    _caution(
        id="provider-unknown",
        variable=generation.PROVIDER.name,
        roles=SERVER,
        where=Where.ANY,
        demand=f"{_PROVIDERS}, where the server generates",
        breach=breaches.idle_unknown_provider,
        message="{variable}={value} is not a provider, so this server does not generate.",
        remedy=f"Set {{variable}} to one of {_PROVIDERS}, or leave generation to workers.",
    ),
    _caution(
        id="provider-without-key",
        variable="the provider's key",
        roles=SERVER,
        where=Where.ANY,
        demand="set under one of its names, where the server generates",
        breach=breaches.idle_without_key,
        message="CLAUDE_MEM_SERVER_PROVIDER={provider} has no key, so this server does not generate.",
        remedy="Set {variable} or {others}, or leave generation to workers.",
    ),
    _caution(
        id="fallback-unknown",
        variable=generation.PROVIDER_FALLBACKS.name,
        roles=SERVER,
        where=Where.ANY,
        demand=f"{_PROVIDERS}, where the server generates",
        breach=breaches.idle_unknown_fallback,
        message="{variable}={value} names {entry}, which is not a provider and is left out.",
        remedy=f"List some of {_PROVIDERS} in {{variable}}, or remove it.",
    ),
    *(
        _caution(
            id=f"fallback-without-key:{provider.name}",
            variable=provider.key.name,
            roles=SERVER,
            where=Where.ANY,
            demand=f"set under one of its names, where {provider.name} is a fallback and the server generates",
            breach=breaches.idle_fallback_without_key(provider),
            message=(
                f"{generation.PROVIDER_FALLBACKS.name} names {provider.name}, which has no key and is left out."
            ),
            remedy="Set {variable} or {others}, or leave generation to workers.",
        )
        for provider in PROVIDERS.values()
    ),
    _caution(
        id="embeddings-without-model",
        variable=embedding.MODEL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="set where CLAUDE_MEM_EMBEDDINGS_BASE_URL is",
        breach=breaches.incomplete_embeddings,
        message="CLAUDE_MEM_EMBEDDINGS_BASE_URL is set without {variable}, so search is by words alone.",
        remedy="Set {variable} to a model of that service.",
    ),
    _caution(
        id="embeddings-without-postgres",
        variable=embedding.BASE_URL.name,
        roles=BOTH,
        where=Where.ANY,
        demand="unset on SQLite",
        breach=breaches.embeddings_without_postgres,
        message="{variable} is set, but SQLite holds no vectors: search is by words alone.",
        remedy="Set CLAUDE_MEM_SERVER_DATABASE_URL to a PostgreSQL with pgvector, or remove {variable}.",
    ),
    *(
        _caution(
            id=f"unread:{name}",
            variable=name,
            roles=BOTH,
            where=Where.ANY,
            demand="unset",
            breach=breaches.unread(name),
            message="{variable} is not read.",
            remedy="{instead}",
        )
        for name in UNREAD
    ),
    *(
        _caution(
            id=f"value:{variable.name}",
            variable=variable.name,
            roles=BOTH,
            where=Where.ANY,
            demand=variable.expects,
            breach=breaches.meaningless(variable),
            message=f"{{variable}}={{value}} is not {variable.expects}, so it counts as unset.",
            remedy=f"Correct it, or remove it to mean the default ({variable.default_text or 'none'}).",
        )
        for variable in VARIABLES
        if not variable.judged and variable.group != CLIENT
    ),
)
