"""What servers and workers are put together from, by the settings."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from typing import TYPE_CHECKING

from claude_mem.environment.providers import PROVIDERS
from claude_mem.environment.verdict import QueueEngine
from claude_mem.generation.failover import FailoverProvider
from claude_mem.generation.mode import ModeLibrary
from claude_mem.generation.prices import PRICES_FILE, PriceList
from claude_mem.generation.providers import build_provider
from claude_mem.queue.local import DisabledQueue, InProcessQueue
from claude_mem.services.budgets import BudgetService
from claude_mem.services.generating import Generator
from claude_mem.services.requests import CallTerms
from claude_mem.worker.engine import Engine
from claude_mem.worker.options import EngineOptions

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import SecretStr

    from claude_mem.generation.port import Provider
    from claude_mem.queue.dramatiq import LaneConsumer
    from claude_mem.queue.port import Queue
    from claude_mem.settings import GenerationSettings, QueueSettings, ServerSettings
    from claude_mem.storage.database import Database

#: Seconds that jobs under way get when the process is asked to end.
GRACE_S = 20.0


def make_queue(settings: QueueSettings, wake: Callable[[], None] | None) -> Queue:
    """The transport that the settings name; nothing is connected yet.

    Parameters:
        wake: tells the workers of this process; None where it has none, and so no transport inside it either.
    """
    if settings.engine is QueueEngine.DRAMATIQ and settings.redis_url is not None:
        from claude_mem.queue.dramatiq import DramatiqQueue  # noqa: PLC0415 - only where Valkey is used

        return DramatiqQueue(settings.redis_url.get_secret_value(), prefix=settings.prefix)
    if wake is None:
        return DisabledQueue()
    return InProcessQueue(wake) if settings.engine is QueueEngine.IN_PROCESS else DisabledQueue(wake)


def make_consumer(settings: QueueSettings, engine: Engine) -> LaneConsumer | None:
    """What hears of jobs for an engine, where a transport brings news; not started yet."""
    if settings.engine is not QueueEngine.DRAMATIQ or settings.redis_url is None:
        return None
    from claude_mem.queue.dramatiq import LaneConsumer  # noqa: PLC0415 - only where Valkey is used

    loop = asyncio.get_running_loop()

    def heard(_job_id: str) -> None:
        loop.call_soon_threadsafe(engine.wake)

    return LaneConsumer(
        settings.redis_url.get_secret_value(),
        prefix=settings.prefix,
        heard=heard,
        room=engine.room,
    )


def make_provider(settings: GenerationSettings) -> Provider:
    """The provider that the settings name, and behind it those to fall back to.

    A fallback that is unknown, lacks its key, or repeats an earlier one is left out; the rules have told of the
    first two.

    Raises: ValueError when there is no provider, or its key is missing.
    """
    if settings.provider is None:
        raise ValueError("no provider is configured")
    if settings.provider not in PROVIDERS:
        return build_provider(name=settings.provider)
    asked = [(settings.provider, settings.model or PROVIDERS[settings.provider].default_model)]
    for fallback in settings.fallbacks:
        known = PROVIDERS.get(fallback.provider)
        if known is not None and _access(settings, known.name)[0] is not None:
            asked.append((known.name, fallback.model or known.default_model))
    return FailoverProvider([_build(settings, name, model=model) for name, model in dict.fromkeys(asked)])


def _build(settings: GenerationSettings, name: str, *, model: str) -> Provider:
    key, base_url = _access(settings, name)
    return build_provider(
        name=name,
        model=model,
        api_key=_revealed(key),
        base_url=base_url,
        timeout_s=settings.timeout_seconds,
        max_connections=settings.concurrency,
        max_prompt_tokens=settings.max_prompt_tokens,
    )


def _access(settings: GenerationSettings, name: str) -> tuple[SecretStr | None, str | None]:
    """Key and base URL of a provider."""
    return {
        "claude": (settings.anthropic_key, settings.anthropic_base_url),
        "gemini": (settings.gemini_key, settings.gemini_base_url),
        "openrouter": (settings.openrouter_key, settings.openrouter_base_url),
    }[name]


def make_engine(settings: ServerSettings, database: Database, *, provider: Provider) -> Engine:
    """A worker's engine over an open database.

    Raises: ModeError when the configured mode cannot be loaded.
    """
    modes = ModeLibrary.of(data_dir=settings.paths.data_dir, modes_dir=settings.paths.modes_dir)
    generator = Generator(
        database,
        provider,
        CallTerms(
            mode=modes.load(settings.generation.mode),
            language=settings.generation.language or None,
            events=settings.generation.events_per_call,
            tokens=settings.generation.max_prompt_tokens * 3 // 4,
            skips_trivial=not settings.generation.keep_trivial_events,
            modes=modes,
        ),
        BudgetService(
            database,
            prices=PriceList.load(settings.paths.data_dir / PRICES_FILE),
            default_daily_tokens=settings.generation.daily_token_budget,
        ),
        retry_base_s=settings.jobs.retry_base_seconds,
    )
    return Engine(
        database,
        generator,
        EngineOptions(
            worker=worker_name(),
            concurrency=settings.generation.concurrency,
            mates=settings.generation.events_per_call,
            lease_s=settings.jobs.lease_seconds,
            heartbeat_s=settings.jobs.heartbeat_seconds,
            grace_s=GRACE_S,
        ),
    )


def worker_name() -> str:
    """A name for `locked_by` that no other process has, on whichever machine it runs."""
    return f"server-beta-worker-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
