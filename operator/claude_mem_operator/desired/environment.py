"""The environment that each component's process gets: the one truth for the builders and for admission.

Later layers win by name: what the operator sets, what it was given for all components, and the resource's own `env`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem.environment import Role
from claude_mem.environment.catalogue import generation, service, tenancy
from claude_mem.environment.providers import PROVIDERS
from claude_mem_operator.desired import authorities
from claude_mem_operator.desired.credentials import PASSWORD_KEY, POSTGRES_DATABASE, POSTGRES_USER
from claude_mem_operator.desired.names import (
    POSTGRES_PORT,
    SERVER_PORT,
    VALKEY_PORT,
    Component,
    child_name,
    credentials_name,
)
from claude_mem_operator.desired.types import NONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from claude_mem_operator.api import ClaudeMemServer, EnvVar, SecretKeyRef
    from claude_mem_operator.desired.types import Manifest

DATA_DIR: Final = "/var/lib/claude-mem"
VALKEY_PASSWORD: Final = "VALKEY_PASSWORD"  # noqa: S105 - the name of a variable

#: What leads a process to its database, beside the variables of the catalogue's own group: libpq's names.
_LIBPQ: Final = frozenset({"PGUSER", "PGPASSWORD", "PGDATABASE", "PGHOST", "PGPORT"})
DATABASE_VARIABLES: Final = _LIBPQ | {
    name
    for variable in vars(service).values()
    if getattr(variable, "group", None) == service.DATABASE
    for name in variable.names
}

_REFERENCE: Final = re.compile(r"\$\$|\$\(([-._a-zA-Z0-9]+)\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentOf:
    """What a component's process gets.

    Parameters:
        env: as the container's `env`.
        values: the literal ones by name, as the process sees them.
        opaque: names of those that come from a Secret, a ConfigMap or the pod, or contain such a one.
        paths: for each that the resource decides, the JSON path there; what is missing is the operator's.
    """

    env: tuple[Manifest, ...]
    values: Mapping[str, str]
    opaque: frozenset[str]
    paths: Mapping[str, str]

    @property
    def references(self) -> tuple[str, ...]:
        """The keys that the variables come from, as `Secret/NAME/KEY` and `ConfigMap/NAME/KEY`, sorted."""
        found = set()
        for variable in self.env:
            source = variable.get("valueFrom", {})
            for member, kind in (("secretKeyRef", "Secret"), ("configMapKeyRef", "ConfigMap")):
                if member in source:
                    found.add(f"{kind}/{source[member]['name']}/{source[member]['key']}")
        return tuple(sorted(found))

    def only(self, names: frozenset[str]) -> EnvironmentOf:
        """The part of it with these names."""
        return EnvironmentOf(
            env=tuple(variable for variable in self.env if variable["name"] in names),
            values={name: value for name, value in self.values.items() if name in names},
            opaque=self.opaque & names,
            paths={name: path for name, path in self.paths.items() if name in names},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable:
    name: str
    manifest: Manifest
    path: str | None


def component_environments(
    resource: ClaudeMemServer, operator_environment: Mapping[str, str] = NONE
) -> dict[Role, EnvironmentOf]:
    """The environments of the server and of the workers.

    Parameters:
        operator_environment: variables that the operator was given for both, by name.
    """
    return {role: _environment(resource, role, operator_environment) for role in Role}


def migration_environment(server: EnvironmentOf) -> EnvironmentOf:
    """The environment of the migration: the server's, as far as it leads to the database."""
    return server.only(DATABASE_VARIABLES | {service.RUNTIME.name, service.DATA_DIR.name})


def _environment(
    resource: ClaudeMemServer, role: Role, operator_environment: Mapping[str, str]
) -> EnvironmentOf:
    spec = resource.spec
    field, given = ("server", spec.server.env) if role is Role.SERVER else ("worker", spec.worker.env)
    merged = {variable.name: variable for variable in _own(resource, role)}
    layers = [
        [_literal(name, value) for name, value in sorted(operator_environment.items())],
        [_users(variable, f"spec.{field}.env[{index}]") for index, variable in enumerate(given)],
    ]
    for layer in layers:
        for variable in layer:
            # Behind what it may refer to: a variable sees those before it.
            merged.pop(variable.name, None)
            merged[variable.name] = variable
    return _resolved(tuple(merged.values()))


def _own(resource: ClaudeMemServer, role: Role) -> Iterator[_Variable]:
    yield _literal(service.RUNTIME.name, "server")
    yield _literal(service.DATA_DIR.name, DATA_DIR)
    yield from _database(resource)
    yield from _queue(resource)
    yield _literal(tenancy.AUTH_MODE.name, "api-key")
    log = resource.spec.log
    yield _literal(service.LOG_LEVEL.name, log.level, "spec.log.level")
    yield _literal(service.LOG_FORMAT.name, log.format, "spec.log.format")
    budget = resource.spec.budgets.daily_tokens
    yield from _optional(generation.DAILY_TOKEN_BUDGET.name, budget, "spec.budgets.dailyTokens")
    yield from _server(resource) if role is Role.SERVER else _worker(resource)


def _database(resource: ClaudeMemServer) -> Iterator[_Variable]:
    postgres = resource.spec.postgres
    if postgres.external is not None:
        path = "spec.postgres.external"
        yield _secret(service.DATABASE_URL.name, postgres.external.url_secret_ref, f"{path}.urlSecretRef")
        yield from _optional(service.POSTGRES_SSL.name, postgres.external.ssl, f"{path}.ssl")
        yield from _authorities(resource, Component.POSTGRES)
        return
    host, path = child_name(resource, Component.POSTGRES), "spec.postgres.managed"
    yield _literal(service.DATABASE_URL.name, f"postgresql://{host}:{POSTGRES_PORT}", path)
    yield _literal("PGUSER", POSTGRES_USER, path)
    yield _generated("PGPASSWORD", credentials_name(resource, Component.POSTGRES), path)
    yield _literal("PGDATABASE", POSTGRES_DATABASE, path)
    yield _literal(service.POSTGRES_SSL.name, "disable", path)


def _queue(resource: ClaudeMemServer) -> Iterator[_Variable]:
    valkey = resource.spec.valkey
    yield _literal(service.QUEUE_ENGINE.name, "dramatiq")
    if valkey.external is not None:
        path = "spec.valkey.external.urlSecretRef"
        yield _secret(service.REDIS_URL.name, valkey.external.url_secret_ref, path)
        yield from _authorities(resource, Component.VALKEY)
        return
    host, path = child_name(resource, Component.VALKEY), "spec.valkey.managed"
    yield _generated(VALKEY_PASSWORD, credentials_name(resource, Component.VALKEY), path)
    url = f"redis://:$({VALKEY_PASSWORD})@{host}:{VALKEY_PORT}/0"
    yield _Variable(name=service.REDIS_URL.name, manifest={"value": url}, path=path)


def _authorities(resource: ClaudeMemServer, store: Component) -> Iterator[_Variable]:
    if store in authorities.given(resource):
        file = f"{authorities.directory(store)}/{authorities.FILE}"
        yield _literal(authorities.VARIABLES[store], file, f"spec.{store}.external.caSecretRef")


def _server(resource: ClaudeMemServer) -> Iterator[_Variable]:
    spec = resource.spec
    yield _literal(service.SERVER_HOST.name, "0.0.0.0")  # noqa: S104 - within its pod, behind a Service
    yield _literal(service.SERVER_PORT.name, str(SERVER_PORT))
    yield _literal(generation.GENERATION_DISABLED.name, "true")
    yield from _optional(service.PUBLIC_URL.name, spec.server.public_url, "spec.server.publicUrl")
    origins = ",".join(spec.auth.cors_origins) or None
    yield from _optional(service.CORS_ORIGINS.name, origins, "spec.auth.corsOrigins")
    for variable, value, path in (
        (tenancy.RATE_LIMIT_PER_MIN, spec.auth.rate_limit_per_minute, "spec.auth.rateLimitPerMinute"),
        (tenancy.AUTH_FAILURES_PER_MIN, spec.auth.failures_per_minute, "spec.auth.failuresPerMinute"),
        (tenancy.MONTHLY_REQUEST_CAP, spec.budgets.monthly_requests, "spec.budgets.monthlyRequests"),
        (tenancy.MONTHLY_TOKEN_CAP, spec.budgets.monthly_tokens, "spec.budgets.monthlyTokens"),
    ):
        yield from _optional(variable.name, value, path)


def _worker(resource: ClaudeMemServer) -> Iterator[_Variable]:
    spec = resource.spec
    provider = spec.provider
    yield _literal(generation.PROVIDER.name, provider.name, "spec.provider.name")
    yield from _optional(generation.MODEL.name, provider.model, "spec.provider.model")
    fallbacks = ",".join(
        entry.name if entry.model is None else f"{entry.name}:{entry.model}" for entry in provider.fallbacks
    )
    yield from _optional(generation.PROVIDER_FALLBACKS.name, fallbacks or None, "spec.provider.fallbacks")
    for index, entry in enumerate((provider, *provider.fallbacks)):
        path = "spec.provider" if index == 0 else f"spec.provider.fallbacks[{index - 1}]"
        known = PROVIDERS[entry.name]
        yield _secret(known.key.name, entry.api_key_secret_ref, f"{path}.apiKeySecretRef")
        yield from _optional(known.base_url.name, entry.base_url, f"{path}.baseUrl")
    concurrency = str(spec.worker.concurrency)
    yield _literal(generation.CONCURRENCY.name, concurrency, "spec.worker.concurrency")
    yield from _optional(generation.MODE.name, spec.generation.mode, "spec.generation.mode")
    yield from _optional(generation.LANGUAGE.name, spec.generation.language, "spec.generation.language")


def _literal(name: str, value: str, path: str | None = None) -> _Variable:
    """A variable that is exactly this text: `$(` in it is no reference. The API server stores no empty text."""
    manifest = {"value": value.replace("$", "$$")} if value else {}
    return _Variable(name=name, manifest=manifest, path=path)


def _optional(name: str, value: object | None, path: str) -> Iterator[_Variable]:
    if value is not None:
        yield _literal(name, str(value), path)


def _secret(name: str, ref: SecretKeyRef, path: str) -> _Variable:
    source = {"secretKeyRef": {"name": ref.name, "key": ref.key}}
    return _Variable(name=name, manifest={"valueFrom": source}, path=path)


def _generated(name: str, secret: str, path: str) -> _Variable:
    source = {"secretKeyRef": {"name": secret, "key": PASSWORD_KEY}}
    return _Variable(name=name, manifest={"valueFrom": source}, path=path)


def _users(variable: EnvVar, path: str) -> _Variable:
    if variable.value_from is None:
        # The API server stores no empty text.
        manifest = {"value": variable.value} if variable.value else {}
        return _Variable(name=variable.name, manifest=manifest, path=f"{path}.value")
    source = variable.value_from.manifest()
    return _Variable(name=variable.name, manifest={"valueFrom": source}, path=f"{path}.valueFrom")


def _resolved(variables: tuple[_Variable, ...]) -> EnvironmentOf:
    values: dict[str, str] = {}
    opaque: set[str] = set()
    for variable in variables:
        text = variable.manifest.get("value", "")
        expanded = None if "valueFrom" in variable.manifest else expand(text, values, frozenset(opaque))
        if expanded is None:
            opaque.add(variable.name)
        else:
            values[variable.name] = expanded
    return EnvironmentOf(
        env=tuple({"name": variable.name, **variable.manifest} for variable in variables),
        values=values,
        opaque=frozenset(opaque),
        paths={variable.name: variable.path for variable in variables if variable.path is not None},
    )


def expand(text: str, values: Mapping[str, str], opaque: frozenset[str]) -> str | None:
    """A variable's text with `$(NAME)` replaced as the kubelet does it, or None where that cannot be known.

    A name that is not defined stays as it is written, and `$$` is a dollar sign.
    """
    names = {match[1] for match in _REFERENCE.finditer(text) if match[1]}
    if names & opaque:
        return None

    def replace(match: re.Match[str]) -> str:
        return values.get(match[1], match[0]) if match[1] else "$"

    return _REFERENCE.sub(replace, text)
