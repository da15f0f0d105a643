"""The server process: bind, bring the schema up to date, serve until told to stop, finish what was begun."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import time
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING

from aiohttp import web

from claude_mem.environment.verdict import AuthMode
from claude_mem.http.app import create_app
from claude_mem.http.keys import GenerationState, Runtime
from claude_mem.model.times import iso8601_ms, now_us
from claude_mem.process import state
from claude_mem.process.embedding import embedding, make_embedder
from claude_mem.process.parts import make_engine, make_provider, make_queue
from claude_mem.process.worker import hearing
from claude_mem.services.assembly import Services
from claude_mem.services.bootstrap import ensure_local_scope, local_principal
from claude_mem.services.retention import keep_running
from claude_mem.storage import opening
from claude_mem.telemetry import tracing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from claude_mem.model.records import Principal
    from claude_mem.settings import ServerSettings
    from claude_mem.storage.database import Database
    from claude_mem.worker.engine import Engine

logger = logging.getLogger(__name__)

#: Seconds between the writes that may lag behind.
WRITE_BEHIND_S = 2.0

#: Seconds that requests under way get when the process is asked to end.
SHUTDOWN_S = 10.0


class PortInUse(Exception):
    """Raised when another program listens on the address that the server is to have."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use by another program; "
            "stop it, or choose another port with CLAUDE_MEM_SERVER_PORT"
        )


def bind(host: str, port: int) -> socket.socket:
    """A socket bound to the address.

    Raises: PortInUse, OSError when the host is not this machine's.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise
    return listener


async def serve(settings: ServerSettings) -> None:
    """Serve until SIGTERM or SIGINT, or until a loopback client asks for the end.

    Raises: PortInUse, OSError, Unavailable, MigrationError, ModeError.
    """
    # Taken before anything else, so that a port in use is told at once and nothing is changed.
    with bind(settings.http.host, settings.http.port) as listener, _starting(settings, listener) as begun:
        report = await opening.migrate(settings.database)
        if report.applied:
            logger.info("the schema was brought up to date", extra={"version": report.version})
        # Until here a signal ends the process at once: a database that does not answer is not waited for.
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopping.set)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(
                tracing.exporting(settings.log.otlp_endpoint, service="claude-mem-server")
            )
            database = await opening.open_database(settings.database)
            # Closed a second time by the services in the end, which is nothing; what fails before them must not
            # leave it open, for its threads would keep the process.
            stack.push_async_callback(database.close)
            engine = _engine(stack, settings, database=database)
            embedder = make_embedder(settings.embeddings)
            if embedder:
                stack.push_async_callback(embedder.close)
            services = Services.over(
                database,
                make_queue(settings.queue, engine.wake if engine else None),
                settings=settings,
                embedder=embedder,
            )
            stack.push_async_callback(services.close)
            runtime = await _runtime(settings, database, engine=engine, stopping=stopping)
            await stack.enter_async_context(_background(services, engine))
            if engine:
                await stack.enter_async_context(hearing(settings, engine))
                await stack.enter_async_context(embedding(settings, database, embedder))
            await stack.enter_async_context(_listening(listener, create_app(services, runtime)))
            stack.callback(services.waiter.stop)
            _announce(stack, settings, runtime=runtime, listener=listener)
            begun.close()
            _settle_memory()
            await stopping.wait()
            logger.info("the server stops")


def _engine(stack: AsyncExitStack, settings: ServerSettings, *, database: Database) -> Engine | None:
    """What generates in this process; its provider is closed with the stack."""
    if not settings.generation.enabled:
        return None
    provider = make_provider(settings.generation)
    stack.push_async_callback(provider.close)
    return make_engine(settings, database, provider=provider)


async def _runtime(
    settings: ServerSettings, database: Database, *, engine: Engine | None, stopping: asyncio.Event
) -> Runtime:
    return Runtime(
        settings=settings,
        generation=_generation_state(settings, engine),
        local=await _local_principal(settings, database),
        schema_version=await database.schema_version(),
        started_s=time.monotonic(),
        shut_down=stopping.set,
    )


async def _local_principal(settings: ServerSettings, database: Database) -> Principal | None:
    if settings.auth.mode is not AuthMode.LOCAL_DEV or not settings.auth.bypass:
        return None
    return local_principal(await ensure_local_scope(database))


def _generation_state(settings: ServerSettings, engine: Engine | None) -> GenerationState:
    if engine is not None:
        details = {"provider": engine.provider_name, "workerId": engine.worker}
        return GenerationState("active", "jobs are generated in this process", details)
    if settings.generation.disabled:
        return GenerationState("disabled", "CLAUDE_MEM_GENERATION_DISABLED is set; workers generate")
    return GenerationState("disabled", "no provider is configured; workers generate")


@asynccontextmanager
async def _background(services: Services, engine: Engine | None) -> AsyncIterator[None]:
    """What runs beside the requests."""
    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(_write_behind(services))
        folding = tasks.create_task(services.search_index.folder.run())
        forgetting = tasks.create_task(keep_running(services.retention))
        generating = tasks.create_task(engine.run()) if engine else None
        try:
            yield
        finally:
            writing.cancel()
            folding.cancel()
            forgetting.cancel()
            if engine and generating:
                engine.stop()
                await asyncio.wait([generating])


async def _write_behind(services: Services) -> None:
    while True:
        await asyncio.sleep(WRITE_BEHIND_S)
        try:
            await services.write_behind()
        except Exception as error:
            # Whatever it is, requests go on, and what may lag behind is stored the next time.
            logger.warning("what may lag behind was not stored", extra={"reason": type(error).__name__})


@asynccontextmanager
async def _listening(listener: socket.socket, app: web.Application) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S, keepalive_timeout=75.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=1024).start()
        yield
    finally:
        await runner.cleanup()


@contextmanager
def _starting(settings: ServerSettings, listener: socket.socket) -> Iterator[ExitStack]:
    """Let other commands of this data directory know that the server begins, until the stack is closed."""
    with ExitStack() as begun:
        # Where that cannot be written the state files cannot either, of which `_announce` tells.
        with suppress(OSError):
            state.write_starting(settings.paths.data_dir, _state(listener))
            begun.callback(state.remove_starting, settings.paths.data_dir, os.getpid())
        yield begun


def _state(listener: socket.socket) -> state.ServerState:
    """This process as it announces itself now."""
    pid = os.getpid()
    return state.ServerState(
        pid, listener.getsockname()[1], iso8601_ms(now_us() // 1000), state.start_token(pid)
    )


def _announce(
    stack: AsyncExitStack, settings: ServerSettings, *, runtime: Runtime, listener: socket.socket
) -> None:
    host, port = listener.getsockname()[:2]
    pid = os.getpid()
    boundaries = {
        "generationWorkerManager": {"status": runtime.generation.status, "reason": runtime.generation.reason}
    }
    try:
        state.write(settings.paths.data_dir, _state(listener), host=host, boundaries=boundaries)
    except OSError as error:
        # A read-only file system is how containers run; nothing looks for the files there.
        logger.info("the state files were not written", extra={"reason": error.strerror})
    else:
        stack.callback(state.remove, settings.paths.data_dir, pid)
    logger.info(
        "the server listens", extra={"host": host, "port": port, "storage": settings.verdict.mode.value}
    )


def _settle_memory() -> None:
    """What was made at start stays; a request leaves no cycles, so looking for them seldom saves processor time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
