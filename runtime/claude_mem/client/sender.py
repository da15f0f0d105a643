"""One HTTP connection for the hook command, with a deadline for all of it.

It exists beside the SDK because importing httpx and pydantic takes longer than a hook may last. It decides
nothing: a status is reported, and `delivery` says what it means. Standard library only.
"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from claude_mem import __version__

#: Seconds to wait for a connection; a server that is there answers sooner.
CONNECT_TIMEOUT_SECONDS = 1.0
#: Bytes of an answer that are read; this API's answers to a hook are far smaller.
LONGEST_REPLY = 16 * 1024 * 1024


class UnreachableError(Exception):
    """Raised when there is no answer: no connection, a broken one, no time left, or no HTTP."""


class Reply(NamedTuple):
    """An answer: its status, and its body when that is a JSON object, else None."""

    status: int
    body: dict[str, Any] | None

    @property
    def accepted(self) -> bool:
        """Whether the server took the request; a success without JSON comes from something else."""
        return 200 <= self.status < 300 and self.body is not None

    def accepted_with(self, key: str) -> bool:
        """Whether the server took the request and its answer has the key that this API's answer has."""
        return self.accepted and key in (self.body or {})

    @property
    def from_elsewhere(self) -> bool:
        """Whether this API cannot have answered so: a redirect, no JSON, or a path that it does not have.

        The last comes from a server URL with a path too many.
        """
        message = (self.body or {}).get("message")
        no_such_path = isinstance(message, str) and message.startswith("Cannot POST ")
        return self.status < 400 or (self.status == 404 and (self.body is None or no_such_path))

    @property
    def reason(self) -> str:
        """What the server said, for the log; it never echoes what was sent."""
        said = (self.body or {}).get("message") or (self.body or {}).get("error") or "no reason given"
        return f"{self.status} {str(said)[:300]}"


class Sender:
    """Sends requests over one kept-alive connection until the deadline.

    Parameters:
        server_url: checked, without trailing slashes.
        api_key: sent as a Bearer token when not empty.
        deadline: value of `time.monotonic()` after which nothing is sent or awaited.
        request_seconds: the longest wait for one answer.
    """

    def __init__(self, server_url: str, api_key: str, *, deadline: float, request_seconds: float) -> None:
        parts = urlsplit(server_url)
        self._prefix = parts.path
        self._deadline = deadline
        self._request_seconds = request_seconds
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": f"claude-mem-hook/{__version__}",
        }
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname or "", parts.port, timeout=CONNECT_TIMEOUT_SECONDS)

    def seconds_left(self) -> float:
        """Seconds until the deadline."""
        return self._deadline - time.monotonic()

    def request(self, method: str, path: str, *, body: Any = None) -> Reply:
        """Send one request and return the answer.

        Raises:
            UnreachableError: there was none.
        """
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        reused = self._connection.sock is not None
        try:
            try:
                return self._exchange(method, path, data=data)
            except (http.client.RemoteDisconnected, ConnectionError):
                # The server may close an idle connection at the moment of its next use.
                self.close()
                if not reused:
                    raise
                return self._exchange(method, path, data=data)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            raise UnreachableError(f"{type(error).__name__}: {error}"[:300]) from error

    def _exchange(self, method: str, path: str, *, data: bytes | None) -> Reply:
        if self.seconds_left() <= 0:
            raise TimeoutError("no time left")
        if self._connection.sock is None:
            self._connection.timeout = min(CONNECT_TIMEOUT_SECONDS, self.seconds_left())
            self._connection.connect()
        self._connection.sock.settimeout(max(0.01, min(self._request_seconds, self.seconds_left())))
        self._connection.request(method, self._prefix + path, body=data, headers=self._headers)
        response = self._connection.getresponse()
        return Reply(response.status, _json_object(response.read(LONGEST_REPLY)))

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def _json_object(data: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
