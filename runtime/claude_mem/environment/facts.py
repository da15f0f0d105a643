"""What an environment amounts to, before anything is judged: mode, authentication, queue and provider."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from claude_mem.environment.catalogue import generation, service, tenancy
from claude_mem.environment.naming import normal_provider
from claude_mem.environment.providers import OFFLINE, PROVIDERS
from claude_mem.environment.values import is_on, text
from claude_mem.environment.verdict import AuthMode, Mode, QueueEngine, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.environment.naming import Fallback
    from claude_mem.environment.providers import Provider
    from claude_mem.environment.variables import Variable

RUNTIMES = ("server", "server-beta")
ENGINES = {
    "dramatiq": QueueEngine.DRAMATIQ,
    "bullmq": QueueEngine.DRAMATIQ,
    "in-process": QueueEngine.IN_PROCESS,
    "sqlite": QueueEngine.IN_PROCESS,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One environment, read.

    `opaque` names the variables that are set from where nobody can look, such as a Secret: they count as set,
    and nothing is said about their values.
    """

    environ: Mapping[str, str]
    role: Role
    container: bool
    opaque: frozenset[str]

    def text(self, name: str) -> str | None:
        """The trimmed text of `name`, None where it is unset, blank or opaque."""
        return None if name in self.opaque else text(self.environ, name)

    def has(self, variable: Variable[Any]) -> bool:
        """Whether any of the variable's names is set."""
        return any(name in self.opaque or text(self.environ, name) for name in variable.names)

    @property
    def mode(self) -> Mode:
        """Local development: outside containers, with nothing set that only a deployment has."""
        deployed = (
            self.container
            or self.has(service.DATABASE_URL)
            or self.has(service.REDIS_URL)
            or self.has(tenancy.AUTH_MODE)
            or self.engine is QueueEngine.DRAMATIQ
        )
        return Mode.DEPLOYABLE if deployed else Mode.LOCAL_DEVELOPMENT

    @property
    def runtime(self) -> str:
        """`server` for either name of it; any other value as it stands."""
        value = self.text(service.RUNTIME.name)
        return RUNTIMES[0] if value is None or value in RUNTIMES else value

    @property
    def auth_mode(self) -> AuthMode:
        """The mode that is named, in any case; an unknown one is `api-key`, the strict one."""
        if self.mode is Mode.LOCAL_DEVELOPMENT:
            return AuthMode.LOCAL_DEV
        named = (self.text(tenancy.AUTH_MODE.name) or "").lower()
        return AuthMode(named) if named in {mode.value for mode in AuthMode} else AuthMode.API_KEY

    @property
    def engine(self) -> QueueEngine | None:
        """The engine that is named; None where none is, or an unknown one."""
        if service.QUEUE_ENGINE.name in self.opaque:
            return QueueEngine.DRAMATIQ
        return ENGINES.get((self.text(service.QUEUE_ENGINE.name) or "").lower())

    @property
    def queue_engine(self) -> QueueEngine:
        """The engine that will run: in-process with SQLite only; with PostgreSQL, jobs wait for a worker."""
        if self.engine is QueueEngine.DRAMATIQ:
            return QueueEngine.DRAMATIQ
        local = self.mode is Mode.LOCAL_DEVELOPMENT
        return QueueEngine.IN_PROCESS if local else QueueEngine.DISABLED

    @property
    def generation_disabled(self) -> bool:
        """Whether this process never generates; a worker always may, whatever it inherits."""
        return self.role is Role.SERVER and is_on(self.text(generation.GENERATION_DISABLED.name))

    @property
    def named_provider(self) -> str | None:
        """The provider that is named, canonically; `offline` where local development names none."""
        named = self.text(generation.PROVIDER.name)
        if named is not None:
            return normal_provider(named)
        local = self.mode is Mode.LOCAL_DEVELOPMENT and generation.PROVIDER.name not in self.opaque
        return OFFLINE if local else None

    @property
    def model_provider(self) -> Provider | None:
        """The named provider, if it is one that has a model."""
        return PROVIDERS.get(self.named_provider or "")

    @property
    def fallbacks(self) -> tuple[Fallback, ...]:
        """The providers that are named to be asked after the first; none where that is `offline`."""
        hidden = generation.PROVIDER_FALLBACKS.name in self.opaque or self.named_provider == OFFLINE
        return () if hidden else generation.PROVIDER_FALLBACKS.read(self.environ)

    @property
    def model_providers(self) -> tuple[Provider, ...]:
        """The named provider and the fallbacks, as far as they are known, each once."""
        named = (self.named_provider, *(fallback.provider for fallback in self.fallbacks))
        return tuple(PROVIDERS[name] for name in dict.fromkeys(named) if name in PROVIDERS)

    @property
    def provider(self) -> str | None:
        """The provider that can generate here: known, allowed in this place, and with its key."""
        if self.named_provider == OFFLINE:
            return None if self.container else OFFLINE
        provider = self.model_provider
        return provider.name if provider is not None and self.has(provider.key) else None
