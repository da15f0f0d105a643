"""The typed clients: `Client` blocks, `AsyncClient` does not; they have the same methods by construction.

The methods are the functions of the `routes_*` modules, bound by `_Route`: what a method takes and
returns is written once. This module adds the transport: httpx, a time limit on every call, and the retries
that `retry` allows. What an answer means is left to `replies`.

    with Client(server_url="http://127.0.0.1:37877", api_key=key, project_id="monorepo") as client:
        client.record_event(event_type="tool_use", payload={"tool_name": "Read"})
        for observation in client.search("outbox relay").observations:
            print(observation.content)
"""

from __future__ import annotations

import asyncio
import functools
import time
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypeVar, overload

import httpx

from claude_mem import __version__
from claude_mem.client import errors, retry, routes_admin, routes_ingest, routes_memory
from claude_mem.client.replies import read_reply
from claude_mem.client.settings import SettingsError, checked_server_url, load_settings, select_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from types import TracebackType

    from claude_mem.client.call import Call

CallParams = ParamSpec("CallParams")
ReplyT = TypeVar("ReplyT")

DEFAULT_TIMEOUT_SECONDS = 10.0
CONNECT_TIMEOUT_SECONDS = 3.0


class _Route(Generic[CallParams, ReplyT]):
    """A function that builds a call, as a method that sends it."""

    def __init__(self, build: Callable[CallParams, Call[ReplyT]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: Client, owner: type) -> Callable[CallParams, ReplyT]: ...
    @overload
    def __get__(
        self, client: AsyncClient, owner: type
    ) -> Callable[CallParams, Coroutine[Any, Any, ReplyT]]: ...
    def __get__(self, client: Client | AsyncClient | None, owner: type) -> Any:
        if client is None:
            return self
        sender = client

        @functools.wraps(self._build)
        def method(*args: CallParams.args, **kwargs: CallParams.kwargs) -> Any:
            return sender.send(self._build(*args, **kwargs))

        return method


class _Routes:
    """Every call of the API."""

    info = _Route(routes_ingest.info)
    health = _Route(routes_ingest.health)
    ready = _Route(routes_ingest.ready)
    record_event = _Route(routes_ingest.record_event)
    record_events = _Route(routes_ingest.record_events)
    get_event = _Route(routes_ingest.get_event)
    event_observations = _Route(routes_ingest.event_observations)
    start_session = _Route(routes_ingest.start_session)
    get_session = _Route(routes_ingest.get_session)
    end_session = _Route(routes_ingest.end_session)
    add_memory = _Route(routes_memory.add_memory)
    get_memory = _Route(routes_memory.get_memory)
    list_memories = _Route(routes_memory.list_memories)
    update_memory = _Route(routes_memory.update_memory)
    delete_memory = _Route(routes_memory.delete_memory)
    purge_project = _Route(routes_memory.purge_project)
    search = _Route(routes_memory.search)
    context = _Route(routes_memory.context)
    list_jobs = _Route(routes_admin.list_jobs)
    get_job = _Route(routes_admin.get_job)
    retry_job = _Route(routes_admin.retry_job)
    cancel_job = _Route(routes_admin.cancel_job)
    usage = _Route(routes_admin.usage)
    connect = _Route(routes_admin.connect)
    list_keys = _Route(routes_admin.list_keys)
    create_key = _Route(routes_admin.create_key)
    rotate_key = _Route(routes_admin.rotate_key)
    revoke_key = _Route(routes_admin.revoke_key)
    list_projects = _Route(routes_admin.list_projects)
    create_project = _Route(routes_admin.create_project)
    update_project = _Route(routes_admin.update_project)
    get_team = _Route(routes_admin.get_team)
    audit = _Route(routes_admin.audit)
    import_lines = _Route(routes_admin.import_lines)


class _BaseClient(_Routes):
    """What both clients know and decide: address, key, project, time limits, and what an outcome means."""

    def __init__(
        self,
        *,
        server_url: str,
        api_key: str | None = None,
        project_id: str | None = None,
        timeout: float = DEFAULT_TIMEOUT_SECONDS,
        retry_policy: retry.RetryPolicy | None = None,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Parameters:
            server_url: such as `http://127.0.0.1:37877`.
            api_key: sent as a Bearer token; a local-dev server on this machine needs none.
            project_id: used by every call that names no project itself.
            timeout: seconds to wait for an answer.

        Raises:
            ConfigurationError: the address or the key cannot be used.
        """
        try:
            self.server_url = checked_server_url(server_url)
        except SettingsError as error:
            raise errors.ConfigurationError(str(error)) from error
        self.project_id = project_id or None
        host = httpx.URL(self.server_url).host
        # A proxy of the environment cannot reach this machine's own server.
        self._trust_env = not (host == "localhost" or host.startswith("127.") or host == "::1")
        self._timeout = timeout
        self._retry_policy = retry_policy or retry.RetryPolicy()
        self._headers = {"Accept": "application/json", "User-Agent": f"claude-mem/{__version__}"}
        if api_key:
            if not api_key.isascii() or not api_key.isprintable():
                raise errors.ConfigurationError("The API key holds characters no key has. Copy it again.")
            self._headers["Authorization"] = f"Bearer {api_key}"

    @classmethod
    def from_settings(cls, environ: Mapping[str, str] | None = None) -> Self:
        """A client for the server of the environment and the settings file (see `settings`).

        Raises:
            ConfigurationError: the settings cannot be used.
        """
        try:
            settings = load_settings(environ)
            select_runtime(settings.runtime.value)
        except SettingsError as error:
            raise errors.ConfigurationError(str(error)) from error
        return cls(
            server_url=settings.server_url.value,
            api_key=settings.api_key.value,
            project_id=settings.project_id.value,
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.server_url!r}, project_id={self.project_id!r})"

    def _limits(self, call: Call[Any]) -> httpx.Timeout:
        limit = call.timeout or self._timeout
        return httpx.Timeout(limit, connect=min(CONNECT_TIMEOUT_SECONDS, limit))

    def _request(self, call: Call[Any]) -> dict[str, Any]:
        """Keyword arguments of httpx's `request`."""
        prepared = call.for_project(self.project_id)
        request: dict[str, Any] = {
            "method": call.method,
            "url": self.server_url + call.path,
            "params": prepared.params,
            "headers": self._headers,
            "timeout": self._limits(call),
        }
        if call.body is not None:
            request["json"] = prepared.body
        if call.lines is not None:
            request["content"] = call.lines
            request["headers"] = self._headers | {"Content-Type": "application/x-ndjson"}
        return request

    def _delay_after_reply(self, call: Call[Any], response: httpx.Response, *, tries: int) -> float | None:
        """Seconds until the next try, or None when the answer stands."""
        if response.status_code in call.accepts:
            return None
        if not retry.status_is_retryable(response.status_code, repeatable=call.repeatable):
            return None
        asked = retry.parse_retry_after(response.headers.get("Retry-After"))
        return self._retry_policy.delay(tries, retry_after=asked)

    def _delay_after_failure(self, call: Call[Any], error: httpx.TransportError, *, tries: int) -> float:
        """Seconds until the next try.

        Raises:
            ServerUnavailable: there is no next try.
        """
        never_sent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        delay = self._retry_policy.delay(tries) if never_sent or call.repeatable else None
        if delay is not None:
            return delay
        reason = str(error) or type(error).__name__
        if isinstance(error, httpx.TimeoutException):
            raise errors.RequestTimedOut(f"{self.server_url} did not answer in time ({reason}).") from error
        raise errors.ServerUnavailable(f"{self.server_url} cannot be reached ({reason}).") from error


class Client(_BaseClient):
    """The blocking client. Close it, or use it in a `with` statement."""

    @functools.cached_property
    def _http(self) -> httpx.Client:
        return httpx.Client(trust_env=self._trust_env)

    def send(self, call: Call[ReplyT]) -> ReplyT:
        """Send one call and return its reply.

        Raises:
            ClaudeMemApiError: the call did not succeed; see `errors` for which and why.
            ConfigurationError: the call needs a project and none is set.
        """
        request = self._request(call)
        tries = 0
        while True:
            tries += 1
            try:
                response = self._http.request(**request)
            except httpx.TransportError as error:
                time.sleep(self._delay_after_failure(call, error, tries=tries))
                continue
            delay = self._delay_after_reply(call, response, tries=tries)
            if delay is None:
                return read_reply(call, response)
            time.sleep(delay)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient(_BaseClient):
    """The asynchronous client. Close it, or use it in an `async with` statement."""

    @functools.cached_property
    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=self._trust_env)

    async def send(self, call: Call[ReplyT]) -> ReplyT:
        """Send one call and return its reply; errors as `Client.send`."""
        request = self._request(call)
        tries = 0
        while True:
            tries += 1
            try:
                response = await self._http.request(**request)
            except httpx.TransportError as error:
                await asyncio.sleep(self._delay_after_failure(call, error, tries=tries))
                continue
            delay = self._delay_after_reply(call, response, tries=tries)
            if delay is None:
                return read_reply(call, response)
            await asyncio.sleep(delay)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
