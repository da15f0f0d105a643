"""The worker process: takes jobs from the database until told to stop. It opens no listener."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from claude_mem.process.beating import beating
from claude_mem.process.embedding import embedding_here
from claude_mem.process.parts import make_consumer, make_engine, make_provider
from claude_mem.process.state import RUNTIME_LABEL
from claude_mem.storage import opening
from claude_mem.telemetry import tracing
from claude_mem.worker.reporting import reporting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.settings import ServerSettings
    from claude_mem.worker.engine import Engine


@asynccontextmanager
async def hearing(settings: ServerSettings, engine: Engine) -> AsyncIterator[None]:
    """Listen for news of jobs, where a transport brings any."""
    consumer = make_consumer(settings.queue, engine)
    if consumer is None:
        yield
        return
    await asyncio.to_thread(consumer.start)
    try:
        yield
    finally:
        await asyncio.to_thread(consumer.stop)


async def work(settings: ServerSettings) -> None:
    """Generate until SIGTERM or SIGINT; jobs under way are finished or handed back.

    Raises: Unavailable, MigrationError, ModeError, ValueError without a usable provider.
    """
    # The database first: a provider's SDK takes seconds to import, which an unreachable database is not to wait for.
    await opening.migrate(settings.database)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            tracing.exporting(settings.log.otlp_endpoint, service="claude-mem-worker")
        )
        database = await opening.open_database(settings.database)
        stack.push_async_callback(database.close)
        provider = make_provider(settings.generation)
        stack.push_async_callback(provider.close)
        engine = make_engine(settings, database, provider=provider)
        await stack.enter_async_context(hearing(settings, engine))
        await stack.enter_async_context(embedding_here(settings, database))
        await stack.enter_async_context(beating(settings.paths.data_dir))
        await stack.enter_async_context(reporting(database, engine.worker))
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, engine.stop)
        sys.stdout.write(
            json.dumps({"status": "worker-running", "runtime": RUNTIME_LABEL, "pid": os.getpid()}) + "\n"
        )
        sys.stdout.flush()
        await engine.run()
