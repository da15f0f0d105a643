"""All settings of one process, built from its environment once the rules have passed it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from claude_mem.environment import EnvironmentInvalid, Mode, Role, Verdict, check, detect
from claude_mem.environment.catalogue import generation, service, tenancy
from claude_mem.environment.providers import OFFLINE, PROVIDERS
from claude_mem.environment.tls import ssl_mode
from claude_mem.environment.urls import ssl_root_cert_of, with_redis_authorities
from claude_mem.environment.values import is_off, text
from claude_mem.environment.verdict import AuthMode
from claude_mem.settings.fields import fill
from claude_mem.settings.groups import (
    SQLITE_FILE,
    AuthSettings,
    DatabaseSettings,
    EmbeddingSettings,
    GenerationSettings,
    HttpSettings,
    JobSettings,
    LimitSettings,
    LogSettings,
    PathSettings,
    QueueSettings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """Everything a process knows of its environment; nothing else reads it.

    `verdict` is what the rules said: its warnings are to be logged. No secret shows in the repr.
    """

    verdict: Verdict
    http: HttpSettings
    database: DatabaseSettings
    queue: QueueSettings
    auth: AuthSettings
    limits: LimitSettings
    generation: GenerationSettings
    embeddings: EmbeddingSettings
    jobs: JobSettings
    paths: PathSettings
    log: LogSettings

    @classmethod
    def from_environ(
        cls, environ: Mapping[str, str], *, role: Role, container: bool | None = None
    ) -> ServerSettings:
        """The settings that `environ` gives a process of `role`.

        `container` says whether it runs in one; None looks for the signs. Raises EnvironmentInvalid, holding
        the verdict, where a rule is broken.
        """
        inside = detect(environ).is_container if container is None else container
        verdict = check(environ, role=role, container=inside)
        if not verdict.ok:
            raise EnvironmentInvalid(verdict)
        return cls(
            verdict=verdict,
            http=fill(HttpSettings, environ),
            database=database_settings(environ),
            queue=queue_settings(environ, verdict),
            auth=fill(AuthSettings, environ, mode=verdict.auth_mode, bypass=_bypass(environ, verdict)),
            limits=fill(LimitSettings, environ),
            generation=fill(
                GenerationSettings,
                environ,
                disabled=verdict.generation_disabled,
                provider=verdict.provider,
                model=_model(environ, verdict),
            ),
            embeddings=fill(EmbeddingSettings, environ),
            jobs=fill(JobSettings, environ, heartbeat_seconds=_heartbeat_seconds(environ)),
            paths=fill(PathSettings, environ),
            log=fill(LogSettings, environ),
        )


def database_settings(environ: Mapping[str, str]) -> DatabaseSettings:
    """The database that `environ` names, whatever else of it is broken; the rules are not asked."""
    return fill(
        DatabaseSettings,
        environ,
        ssl=ssl_mode(environ),
        ssl_root_cert=_ssl_root_cert(environ),
        sqlite_path=service.DATA_DIR.read(environ) / SQLITE_FILE,
    )


def queue_settings(environ: Mapping[str, str], verdict: Verdict) -> QueueSettings:
    """The queue that `environ` names, by the rules' verdict on it."""
    return fill(QueueSettings, environ, engine=verdict.queue_engine, redis_url=_redis_url(environ))


def _ssl_root_cert(environ: Mapping[str, str]) -> Path | None:
    url = text(environ, service.DATABASE_URL.name)
    named = ssl_root_cert_of(url) if url else None
    return Path(named) if named else service.PGSSLROOTCERT.read(environ)


def _redis_url(environ: Mapping[str, str]) -> SecretStr | None:
    url, file = service.REDIS_URL.read(environ), service.REDIS_CA_FILE.read(environ)
    if url is None or file is None:
        return url
    return SecretStr(with_redis_authorities(url.get_secret_value(), str(file)))


def _bypass(environ: Mapping[str, str], verdict: Verdict) -> bool:
    """Whether loopback needs no key: in local development unless it is said not to, else by exactly `1`."""
    if verdict.container or verdict.auth_mode is not AuthMode.LOCAL_DEV:
        return False
    allowed = text(environ, tenancy.ALLOW_LOCAL_DEV_BYPASS.name)
    return not is_off(allowed) if verdict.mode is Mode.LOCAL_DEVELOPMENT else allowed == "1"


def _model(environ: Mapping[str, str], verdict: Verdict) -> str | None:
    """The model that is asked; None without a provider. A model that is set means nothing to `offline`."""
    if verdict.provider is None or verdict.provider == OFFLINE:
        return verdict.provider
    return generation.MODEL.read(environ) or PROVIDERS[verdict.provider].default_model


def _heartbeat_seconds(environ: Mapping[str, str]) -> float:
    """A third of the lease, so that two renewals may be missed before it ends."""
    return generation.HEARTBEAT_SECONDS.read(environ) or generation.LEASE_SECONDS.read(environ) / 3
