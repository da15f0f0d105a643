"""What breaks each rule: one function a rule, from the facts to the words of its message, or None.

Which role and which place a rule is for stands in the tables `errors` and `cautions`, so it is not asked
again here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.environment.catalogue import UNREAD, embedding, generation, service, tenancy
from claude_mem.environment.facts import RUNTIMES
from claude_mem.environment.providers import OFFLINE, PROVIDERS
from claude_mem.environment.tls import UNCHECKED, asks_sockets, ssl_mode
from claude_mem.environment.urls import (
    checks_no_certificate,
    http_problem,
    normal_ssl_mode,
    postgres_problem,
    redis_problem,
    speaks_tls,
    ssl_root_cert_of,
)
from claude_mem.environment.values import is_on, shown
from claude_mem.environment.verdict import AuthMode, Mode, QueueEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeAlias

    from claude_mem.environment.facts import Facts
    from claude_mem.environment.providers import Provider
    from claude_mem.environment.variables import Variable

    Words: TypeAlias = Mapping[str, str] | None

_LOCAL_DEVELOPMENT_INSTEAD = (
    " For local development on SQLite, unset CLAUDE_MEM_AUTH_MODE, CLAUDE_MEM_REDIS_URL and "
    "CLAUDE_MEM_QUEUE_ENGINE instead."
)


def foreign_runtime(facts: Facts) -> Words:
    return _if(facts.runtime not in RUNTIMES)


def no_runtime(facts: Facts) -> Words:
    return _if(not facts.has(service.RUNTIME))


def local_dev(facts: Facts) -> Words:
    return _if(facts.auth_mode is AuthMode.LOCAL_DEV)


def bypass_on(facts: Facts) -> Words:
    return _if(is_on(facts.text(tenancy.ALLOW_LOCAL_DEV_BYPASS.name)))


def no_engine(facts: Facts) -> Words:
    return _if(not facts.has(service.QUEUE_ENGINE))


def in_process_engine(facts: Facts) -> Words:
    return _if(facts.engine is QueueEngine.IN_PROCESS)


def unknown_engine(facts: Facts) -> Words:
    return _if(facts.has(service.QUEUE_ENGINE) and facts.engine is None)


def no_database(facts: Facts) -> Words:
    if facts.has(service.DATABASE_URL):
        return None
    return {"instead": "" if facts.container else _LOCAL_DEVELOPMENT_INSTEAD}


def no_redis(facts: Facts) -> Words:
    return _if(facts.engine is QueueEngine.DRAMATIQ and not facts.has(service.REDIS_URL))


def server_generates(facts: Facts) -> Words:
    if facts.generation_disabled:
        return None
    unset = facts.text(generation.GENERATION_DISABLED.name) is None
    return {"state": "it is not set" if unset else "it says something else"}


def no_provider(facts: Facts) -> Words:
    return _if(facts.named_provider is None)


def offline_provider(facts: Facts) -> Words:
    return _if(facts.named_provider == OFFLINE)


def unknown_provider(facts: Facts) -> Words:
    return _if(facts.named_provider not in {None, OFFLINE} and facts.model_provider is None)


def no_key(facts: Facts) -> Words:
    provider = facts.model_provider
    if provider is None or facts.has(provider.key):
        return None
    preferred, *others = provider.key.names
    return {"variable": preferred, "provider": provider.name, "others": " or ".join(others)}


def unknown_fallback(facts: Facts) -> Words:
    unknown = (one.provider for one in facts.fallbacks if one.provider not in PROVIDERS)
    entry = next(unknown, None)
    return None if entry is None else {"entry": shown(entry)}


def fallback_without_key(provider: Provider) -> Callable[[Facts], Words]:
    """The breach of naming `provider` among the fallbacks only, without its key."""

    def breach(facts: Facts) -> Words:
        named = any(one.provider == provider.name for one in facts.fallbacks)
        if not named or facts.model_provider is provider or facts.has(provider.key):
            return None
        return {"others": " or ".join(provider.key.alternatives)}

    return breach


def bad_database_url(facts: Facts) -> Words:
    return _because(facts.text(service.DATABASE_URL.name), postgres_problem)


def bad_redis_url(facts: Facts) -> Words:
    return _because(facts.text(service.REDIS_URL.name), redis_problem)


def bad_ssl_mode(variable: Variable[Any]) -> Callable[[Facts], Words]:
    """The breach of a TLS mode in `variable`."""

    def breach(facts: Facts) -> Words:
        mode = facts.text(variable.name)
        return _if(mode is not None and normal_ssl_mode(mode) is None)

    return breach


def bad_base_url(facts: Facts) -> Words:
    if facts.generation_disabled:
        return None
    for provider in facts.model_providers:
        given = provider.base_url.given(facts.environ)
        words = None if given is None else _because(given[1], http_problem)
        if given is not None and words is not None:
            return {"variable": given[0], **words}
    return None


def slow_heartbeat(facts: Facts) -> Words:
    lease = generation.LEASE_SECONDS.read(facts.environ)
    heartbeat = generation.HEARTBEAT_SECONDS.read(facts.environ)
    return None if heartbeat is None or heartbeat < lease else {"lease": f"{lease:g}"}


def unknown_auth_mode(facts: Facts) -> Words:
    named = facts.text(tenancy.AUTH_MODE.name)
    return _if(named is not None and named.lower() not in {mode.value for mode in AuthMode})


def disabled_auth(facts: Facts) -> Words:
    return _if(facts.auth_mode is AuthMode.DISABLED)


def local_dev_without_bypass(facts: Facts) -> Words:
    named = facts.mode is Mode.DEPLOYABLE and facts.auth_mode is AuthMode.LOCAL_DEV
    return _if(named and not facts.container and facts.text(tenancy.ALLOW_LOCAL_DEV_BYPASS.name) != "1")


def idle_redis(facts: Facts) -> Words:
    without_queue = not facts.container and facts.queue_engine is QueueEngine.DISABLED
    return _if(without_queue and facts.has(service.REDIS_URL))


def idle_postgres_authorities(facts: Facts) -> Words:
    mode = ssl_mode(facts.environ, opaque=facts.opaque)
    if mode not in UNCHECKED or not facts.has(service.DATABASE_URL):
        return None
    if asks_sockets(facts.environ, opaque=facts.opaque):
        return None
    named = ssl_root_cert_of(facts.text(service.DATABASE_URL.name) or "")
    variable = service.PGSSLROOTCERT if named is None else service.DATABASE_URL
    return {"variable": variable.name, "mode": mode} if facts.has(variable) else None


def idle_redis_authorities(facts: Facts) -> Words:
    url = facts.text(service.REDIS_URL.name)
    if url is None or not facts.has(service.REDIS_CA_FILE):
        return None
    if not speaks_tls(url):
        return {
            "state": "begins with redis://, so that nothing is encrypted",
            "change": "Begin CLAUDE_MEM_REDIS_URL with rediss://.",
        }
    if checks_no_certificate(url):
        return {
            "state": "says ssl_cert_reqs=none, so that no certificate is checked",
            "change": "Take ssl_cert_reqs=none out of CLAUDE_MEM_REDIS_URL.",
        }
    return None


def idle_unknown_provider(facts: Facts) -> Words:
    return None if facts.generation_disabled else unknown_provider(facts)


def idle_without_key(facts: Facts) -> Words:
    return None if facts.generation_disabled else no_key(facts)


def idle_unknown_fallback(facts: Facts) -> Words:
    return None if facts.generation_disabled else unknown_fallback(facts)


def idle_fallback_without_key(provider: Provider) -> Callable[[Facts], Words]:
    """The breach of `fallback_without_key`, where the process generates."""
    breach = fallback_without_key(provider)
    return lambda facts: None if facts.generation_disabled else breach(facts)


def incomplete_embeddings(facts: Facts) -> Words:
    return _if(facts.has(embedding.BASE_URL) and not facts.has(embedding.MODEL))


def embeddings_without_postgres(facts: Facts) -> Words:
    return _if(facts.has(embedding.BASE_URL) and not facts.has(service.DATABASE_URL))


def unread(name: str) -> Callable[[Facts], Words]:
    """The breach of setting a variable that nothing reads."""

    def breach(facts: Facts) -> Words:
        return None if facts.text(name) is None else {"instead": UNREAD[name]}

    return breach


def meaningless(variable: Variable[Any]) -> Callable[[Facts], Words]:
    """The breach of a value that `variable` cannot take."""

    def breach(facts: Facts) -> Words:
        given = variable.meaningless(facts.environ)
        return None if given is None else {"variable": given[0]}

    return breach


def _if(broken: bool) -> Words:  # noqa: FBT001 - the condition is all there is
    return {} if broken else None


def _because(url: str | None, problem: Callable[[str], str | None]) -> Words:
    reason = None if url is None else problem(url)
    return None if reason is None else {"reason": reason}
