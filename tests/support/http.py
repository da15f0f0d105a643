"""The real server inside the test's process, over a real database, with tenants and keys of every kind.

The application runs on an event loop of its own in a thread, so that one server serves the whole run and tests may
be plain functions. Every test takes a team of its own, and so needs no empty database.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeVar

import httpx
import pytest

from claude_mem.environment import AuthMode, Role
from claude_mem.environment.catalogue import NAMES
from claude_mem.http.app import create_app
from claude_mem.http.keys import Runtime
from claude_mem.model.identity import new_id
from claude_mem.model.records import ApiKey
from claude_mem.model.scopes import READ, WRITE
from claude_mem.model.times import now_us
from claude_mem.process import server as process
from claude_mem.process.parts import make_engine, make_provider, make_queue
from claude_mem.services import bootstrap
from claude_mem.services.assembly import Services
from claude_mem.settings import ServerSettings
from claude_mem.storage import keys, opening
from claude_mem.storage.database import run_transaction
from claude_mem.worker.engine import Engine
from tests.support import described
from tests.support.databases import PATIENT_WITH_POSTGRES
from tests.support.postgres import PostgresServer

T = TypeVar("T")
Storage = Literal["sqlite", "postgres"]
Json = Any

#: What a wait in a test may take at most, in seconds, on a busy machine; longer than servers wait themselves.
PATIENCE_S = 240.0

#: What a server waits for on a busy machine; tests of waiting name their own times.
PATIENT = PATIENT_WITH_POSTGRES | {"CLAUDE_MEM_WAIT_TIMEOUT_MS": "120000"}

HOOK_SCOPES = ("events:write", "sessions:write", "observations:read", "jobs:read")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A team with two projects and raw keys for it.

    Parameters:
        full: reads and writes in the whole team.
        scoped: reads and writes in `project` only; `sibling_key` does in `sibling`.
        hook: the scopes that claude-mem 13 gives a hook's key.
    """

    team: str
    project: str
    sibling: str
    full: str
    read: str
    write: str
    hook: str
    admin: str
    star: str
    scoped: str
    sibling_key: str
    revoked: str
    expired: str
    teamless: str
    ids: dict[str, str] = field(default_factory=dict)


class Server:
    """One server on a free port, from `__enter__` to `__exit__`.

    Parameters:
        database_url: PostgreSQL; None is SQLite in `directory`.
        environ: variables beyond those that say where the data is.
        generate: run a worker's engine with the rules of the `offline` provider in the process.
        local: let loopback in without a key, as in local development.
    """

    def __init__(
        self,
        directory: Path,
        *,
        database_url: str | None = None,
        environ: Mapping[str, str] | None = None,
        generate: bool = False,
        local: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.storage: Storage = "postgres" if database_url else "sqlite"
        self.directory = directory
        self._host = host
        self._generate = generate
        self._local = local
        self._settings = _settings(directory, database_url, environ or {}, local=local)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="server-under-test", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self.shutdowns = 0

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        await opening.migrate(self._settings.database)
        async with AsyncExitStack() as stack:
            database = await opening.open_database(self._settings.database)
            engine: Engine | None = None
            if self._generate:
                engine = make_engine(
                    self._settings, database, provider=make_provider(self._settings.generation)
                )
            queue = make_queue(self._settings.queue, engine.wake if engine else None)
            self.services = Services.over(database, queue, settings=self._settings)
            stack.push_async_callback(self.services.close)
            runtime = Runtime(
                settings=self._settings,
                generation=process._generation_state(self._settings, engine),
                local=await process._local_principal(self._settings, database) if self._local else None,
                schema_version=await database.schema_version(),
                started_s=time.monotonic(),
                shut_down=self._count_shutdown,
            )
            listener = process.bind(self._host, 0)
            self.port = listener.getsockname()[1]
            await stack.enter_async_context(process._background(self.services, engine))
            self.app = create_app(self.services, runtime)
            await stack.enter_async_context(process._listening(listener, self.app))
            stack.callback(self.services.waiter.stop)
            self._started.set()
            await self._stopping.wait()

    def _count_shutdown(self) -> None:
        self.shutdowns += 1

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(150)
        if self._failure is not None:
            raise self._failure
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(PATIENCE_S)
        if self._failure is not None:
            raise self._failure

    @property
    def url(self) -> str:
        host = "127.0.0.1" if self._host == "0.0.0.0" else self._host
        return f"http://{host}:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that lead commands to the server's database."""
        url = self._settings.database.url
        where = {} if url is None else {"CLAUDE_MEM_SERVER_DATABASE_URL": url.get_secret_value()}
        return PATIENT | where | {"CLAUDE_MEM_DATA_DIR": str(self.directory)}

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await something on the server's own loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(150)

    def call(
        self,
        method: str,
        path: str,
        key: str | None = None,
        body: Json = None,
        *,
        headers: Mapping[str, Any] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send one request; `path` goes out as it is written, percent escapes included.

        Whatever is answered has to be as the API's own description says.
        """
        sent: dict[str, Any] = {"Authorization": f"Bearer {key}"} if key else {}
        sent |= {"Content-Type": "application/json"} if content is not None else {}
        sent |= headers or {}
        response = self._client.request(
            method, path, headers=sent, content=content, json=body if content is None else None
        )
        described.check(response)
        return response

    def ok(self, method: str, path: str, key: str, body: Json = None, *, status: int = 200) -> Json:
        """Send a request that has to succeed, and return its JSON."""
        response = self.call(method, path, key, body)
        assert response.status_code == status, response.text
        return response.json()

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        """A raw connection, for requests that no client library would send."""
        with socket.create_connection(
            (self.url[7:].rpartition(":")[0], self.port), timeout=PATIENCE_S
        ) as raw:
            yield raw

    def tenant(self, name: str = "team") -> Tenant:
        """A new team with keys of all kinds."""
        return self.run(_make_tenant(self.services, name))

    def execute(self, sql: str) -> None:
        """Run SQL on the server's database, as another program would."""
        self.run(_execute(self.services, sql))

    def outside(self) -> httpx.Client | None:
        """A client that is not on loopback to a server that listens everywhere; None where nothing else is."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                # Chooses the address that would be used; nothing is sent.
                probe.connect(("192.0.2.1", 9))
            except OSError:
                return None
            address = probe.getsockname()[0]
        return httpx.Client(base_url=f"http://{address}:{self.port}", timeout=PATIENCE_S, trust_env=False)

    def dump(self) -> str:
        """Everything that the database holds, as text."""
        return self.run(_dump(self.services))


def _settings(
    directory: Path, database_url: str | None, environ: Mapping[str, str], *, local: bool
) -> ServerSettings:
    unknown = environ.keys() - NAMES
    assert not unknown, f"nothing reads {unknown}"
    given = {
        **PATIENT,
        "CLAUDE_MEM_DATA_DIR": str(directory),
        "CLAUDE_MEM_DOCKER": "0",
        **({"CLAUDE_MEM_SERVER_DATABASE_URL": database_url} if database_url else {}),
        **environ,
    }
    settings = ServerSettings.from_environ(given, role=Role.SERVER, container=False)
    auth = settings.auth
    if not local:
        auth = dataclasses.replace(auth, mode=AuthMode.API_KEY, bypass=False)
    # Outside local development no rule lets `offline` be chosen; here it stands for any provider that answers.
    generation = dataclasses.replace(settings.generation, provider="offline", model="offline")
    return dataclasses.replace(settings, auth=auth, generation=generation)


async def _make_tenant(services: Services, name: str) -> Tenant:
    database = services.database
    team = await bootstrap.create_team(database, name)
    project = await bootstrap.create_project(database, team_id=team.id, name=f"{name}-project")
    sibling = await bootstrap.create_project(database, team_id=team.id, name=f"{name}-sibling")
    both = (READ, WRITE)
    now = now_us()
    kinds: dict[str, tuple[tuple[str, ...], str | None, int | None]] = {
        "full": (both, None, None),
        "read": ((READ,), None, None),
        "write": ((WRITE,), None, None),
        "hook": (HOOK_SCOPES, project.id, None),
        "admin": ((*both, "admin"), None, None),
        "star": (("*",), None, None),
        "scoped": (both, project.id, None),
        "sibling_key": (both, sibling.id, None),
        "revoked": (both, None, None),
        "expired": (both, None, now // 1000 - 1),
        "teamless": (both, None, None),
    }
    raw = {kind: f"cmem_{kind}_{new_id()}" for kind in kinds}
    ids = {kind: new_id() for kind in kinds}

    async def store(transaction: Any) -> None:
        for kind, (scopes, project_id, expires_ms) in kinds.items():
            key = ApiKey(
                id=ids[kind],
                team_id=None if kind == "teamless" else team.id,
                project_id=project_id,
                actor_id=f"actor-{kind}",
                name=kind,
                prefix=raw[kind][:10],
                scopes=scopes,
                created_ms=now // 1000,
                expires_ms=expires_ms,
            )
            digest = hashlib.sha256(raw[kind].encode()).hexdigest()
            await keys.insert(transaction, key, key_hash=digest, now_us=now)
        await keys.revoke(transaction, ids["revoked"], now_us=now)

    await run_transaction(database, store)
    return Tenant(team=team.id, project=project.id, sibling=sibling.id, ids=ids, **raw)


async def _execute(services: Services, sql: str) -> None:
    database: Any = services.database
    if database.name == "sqlite":
        async with database.transaction() as transaction:
            await transaction._connection.execute_fetchall(sql)
        return
    async with database._pool.acquire() as connection:
        await connection.execute(sql)


async def _dump(services: Services) -> str:
    await services.write_behind()
    database: Any = services.database
    lines: list[str] = []
    if database.name == "sqlite":
        cursor = await database._reader.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in await cursor.fetchall():
            rows = await database._reader.execute_fetchall(f'SELECT * FROM "{table}"')
            lines.extend(f"{table}: {tuple(row)}" for row in rows)
        return "\n".join(lines)
    async with database._pool.acquire() as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in tables:
            rows = await connection.fetch(f'SELECT t::text AS row FROM "{table}" AS t')
            lines.extend(f"{table}: {row['row']}" for row in rows)
    return "\n".join(lines)


def eventually(condition: Callable[[], T], *, what: str, timeout: float = PATIENCE_S) -> T:
    """The first true value of a condition; fails when there is none by the deadline."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}"
        time.sleep(0.02)


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    """An asynchronous client, for requests at the same time."""
    limits = httpx.Limits(max_connections=100)
    async with httpx.AsyncClient(
        base_url=server.url, timeout=PATIENCE_S, limits=limits, trust_env=False
    ) as client:
        yield client


def event_body(project: str, **changes: Json) -> dict[str, Json]:
    """A valid event as hooks send it, with changes."""
    body: dict[str, Json] = {
        "projectId": project,
        "sourceType": "hook",
        "eventType": "tool_use",
        "occurredAtEpoch": 1_767_225_600_000,
        "contentSessionId": "content-1",
        "platformSource": "claude-code",
        "payload": {"tool_name": "Read", "tool_input": {"file_path": f"/src/{new_id()}.py"}},
    }
    return body | changes


@contextmanager
def closing_quietly() -> Iterator[None]:
    """For connections that the other side may have cut."""
    with contextlib.suppress(OSError, httpx.TransportError):
        yield


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server without limits that generates nothing, so that jobs stay as they are put."""
    with Server(
        tmp_path_factory.mktemp("api"),
        database_url=database_url(request, request.param),
        environ={"CLAUDE_MEM_GENERATION_DISABLED": "true"},
    ) as server:
        yield server


@pytest.fixture
def tenant(api: Server) -> Tenant:
    """A team of the test's own."""
    return api.tenant()


def database_url(request: pytest.FixtureRequest, storage: Storage) -> str | None:
    """A new PostgreSQL database, or None for SQLite."""
    if storage == "sqlite":
        return None
    postgres: PostgresServer = request.getfixturevalue("postgres")
    return postgres.create_database()
