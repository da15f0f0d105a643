"""A Chat Completions server that answers every request with the same words, as cheaply as Python can.

It runs in a process of its own and prints its port. It speaks HTTP/1.1 on raw connections and looks at nothing of a
request but its length, so that what is measured beside it is the one who asks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from typing import cast

import uvloop

HEADER_END = b"\r\n\r\n"
WORDS = """\
<observation>
  <type>discovery</type>
  <title>Retries back off exponentially with jitter</title>
  <subtitle>The client waits longer after each failed attempt.</subtitle>
  <facts>
    <fact>The first pause is half a second and each further one is twice as long.</fact>
    <fact>A pause is shortened by up to a third at random.</fact>
  </facts>
  <narrative>The module that talks to the payment service tries again after failures that may pass. Its pauses grow, so \
that a service in trouble is not asked more often than before.</narrative>
  <concepts>
    <concept>how-it-works</concept>
  </concepts>
  <files_read>
    <file>orders/module_1.py</file>
  </files_read>
  <files_modified></files_modified>
</observation>"""


def answer() -> bytes:
    """The one response, head and body."""
    document = {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 1_767_225_600,
        "model": "bench",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
    }
    body = json.dumps(document, separators=(",", ":")).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Connection(asyncio.Protocol):
    """Answers one request after the other.

    Parameters:
        response: what is sent for each.
        delay_s: seconds that the provider takes to think.
    """

    def __init__(self, response: bytes, *, delay_s: float) -> None:
        self._response = response
        self._delay_s = delay_s
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport to answer on."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer once a request is complete."""
        self._received += data
        end = self._received.find(HEADER_END)
        if end == -1 or len(self._received) < end + len(HEADER_END) + _length(bytes(self._received[:end])):
            return
        self._received.clear()
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._answer)
        else:
            self._answer()

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._response)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


async def serve(*, delay_s: float) -> None:
    """Serve on a free port of 127.0.0.1 until interrupted."""
    response = answer()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(response, delay_s=delay_s), "127.0.0.1", 0
    )
    sys.stdout.write(f"port {server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await server.serve_forever()


def main() -> None:
    """Serve with the delay from the arguments."""
    parser = argparse.ArgumentParser(prog="python -m hack.bench_provider")
    parser.add_argument("--delay-ms", type=int, default=0)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(serve(delay_s=parser.parse_args().delay_ms / 1000))


if __name__ == "__main__":
    main()
