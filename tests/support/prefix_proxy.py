"""A reverse proxy that serves a server under a prefix, which it takes off again, as an ingress does."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

import aiohttp
from aiohttp import web

#: Headers of one connection, which a proxy does not pass on.
_OWN = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "host"})


class PrefixProxy:
    """Listens on a free port, from `__enter__` to `__exit__`, on an event loop of its own.

    Parameters:
        target: the server's address, without a slash at its end.
        prefix: such as `/memory`; everything else is answered with 404.

    Attributes:
        missed: paths that were asked for outside the prefix.
    """

    def __init__(self, target: str, prefix: str) -> None:
        self._target = target
        self._prefix = prefix
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="prefix-proxy", daemon=True)
        self._started = threading.Event()
        self.missed: list[str] = []
        self.port = 0

    @property
    def url(self) -> str:
        """Where the server is to be found, without a slash at its end."""
        return f"http://127.0.0.1:{self.port}{self._prefix}"

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60), "the proxy did not start"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stopping = asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(application, shutdown_timeout=0)
        # Without a limit of time: a live stream has no end.
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(auto_decompress=False, timeout=timeout) as self._session:
            await runner.setup()
            try:
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                self.port = runner.addresses[0][1]
                self._started.set()
                await self._stopping.wait()
            finally:
                await runner.cleanup()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        if not request.raw_path.startswith(f"{self._prefix}/"):
            self.missed.append(request.raw_path)
            return web.Response(status=404, text="nothing is served here")
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _OWN}
        async with self._session.request(
            request.method,
            self._target + request.raw_path.removeprefix(self._prefix),
            headers=headers | {"Host": request.host},
            data=await request.read(),
            allow_redirects=False,
        ) as found:
            answer = web.StreamResponse(status=found.status)
            answer.headers.extend(
                (name, value) for name, value in found.headers.items() if name.lower() not in _OWN
            )
            await answer.prepare(request)
            async for piece in found.content.iter_any():
                await answer.write(piece)
            await answer.write_eof()
            return answer
