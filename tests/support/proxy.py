"""A TCP proxy that cuts connections when it is told to, as a network or a failing server does."""

from __future__ import annotations

import asyncio
from typing import Self

CHUNK = 65_536


class Proxy:
    """Passes connections on to a port of this machine.

    Attributes:
        port: where it listens.
        allowed: packets from clients that are still passed on; None is without end. When it is used up, the packet
            is dropped and its connection cut; connections made later are served again.
        cuts: connections that were cut this way.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.allowed: int | None = None
        self.after_reply = False
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        self.cut_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut_all(self) -> None:
        """Cut every connection now."""
        for writer in self._writers:
            writer.transport.abort()

    def cut_after(self, packets: int, *, delivered: bool) -> None:
        """Cut the connection that sends the packet after the next `packets` ones.

        Parameters:
            delivered: let that last packet reach the server; only its answer is lost.
        """
        self.allowed, self.after_reply = packets, delivered

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        current = asyncio.current_task()
        assert current is not None
        self._tasks.add(current)
        try:
            upstream, towards = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = {writer, towards}
        self._writers |= pair
        try:
            async with asyncio.TaskGroup() as tasks:
                answers = tasks.create_task(_copy(upstream, writer))
                await self._requests(reader, towards)
                answers.cancel()
        except* OSError:
            pass
        finally:
            self._writers -= pair
            self._tasks.discard(current)
            for end in pair:
                end.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, towards: asyncio.StreamWriter) -> None:
        while packet := await reader.read(CHUNK):
            if self.allowed is not None:
                self.allowed -= 1
                if self.allowed < 0:
                    self.allowed = None
                    self.cuts += 1
                    if self.after_reply:
                        towards.write(packet)
                        await towards.drain()
                        towards.close()
                    return
            towards.write(packet)
            await towards.drain()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while packet := await reader.read(CHUNK):
        writer.write(packet)
        await writer.drain()
    writer.close()
