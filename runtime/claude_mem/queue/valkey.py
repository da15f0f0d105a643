"""Valkey or Redis as this product reaches it: the client, words for what goes wrong, and when an outage is told.

Errors of the client are never passed on: their texts are the server's, and may quote what was sent.
"""

from __future__ import annotations

import logging
import ssl
from typing import TYPE_CHECKING

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

logger = logging.getLogger(__name__)

#: What a command may raise, besides what a name or a socket does.
ERRORS = (RedisError, OSError)

#: Seconds to connect, TLS and the user's password included.
CONNECT_S = 1.0

#: Seconds to wait for an answer; longer than a command that waits for messages takes.
ANSWER_S = 5.0

#: Seconds between looks for a server that went away.
LOOK_AGAIN_S = 1.0


def make_client(url: str, *, retries: int) -> Redis:
    """A client that connects when it is first used.

    Parameters:
        url: `redis://` or `rediss://`, which may hold a user, a password, and options of the client such as `ssl_ca_certs`.
        retries: how often a command that met a broken connection is sent again, at once.
    """
    return Redis.from_url(
        url,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=CONNECT_S,
        retry=Retry(NoBackoff(), retries),
    )


def explain(error: BaseException) -> str:
    """What is wrong, and what to do about it, in words that hold no secret."""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                "its TLS certificate is not trusted, or names another host; name the file of its authority in "
                "CLAUDE_MEM_REDIS_CA_FILE, or as in rediss://HOST:6379/0?ssl_ca_certs=FILE"
            )
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS as asked; see that host and port are those of rediss://"
        if isinstance(cause, FileNotFoundError | PermissionError):
            return "a certificate file that CLAUDE_MEM_REDIS_URL or CLAUDE_MEM_REDIS_CA_FILE names cannot be read"
        if isinstance(cause, NoPermissionError):
            return "its ACL forbids this user a command or a key; the user needs ~{PREFIX}* and the commands of the queue"
        if isinstance(cause, AuthenticationError | AuthorizationError):
            return "it refuses the user or password in CLAUDE_MEM_REDIS_URL"
        if isinstance(cause, OutOfMemoryError):
            return "its memory is full; give it more, with the policy noeviction"
        if isinstance(cause, ReadOnlyError):
            return "it is a replica, which takes no messages; name the primary"
    return f"it cannot be reached ({type(error).__name__})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


class Outage:
    """Tells in the log that Valkey went away, once for each reason, and that it is back.

    Parameters:
        consequence: what goes on without it, as the log is to say.

    Attributes:
        failures: commands that failed so far.
    """

    def __init__(self, consequence: str) -> None:
        self._consequence = consequence
        self._told: set[str] = set()
        self.failures = 0

    def met(self, error: BaseException) -> None:
        """A command failed."""
        self.failures += 1
        reason = explain(error)
        known = reason in self._told
        self._told.add(reason)
        if not known:
            logger.warning("Valkey does not answer: %s; %s", reason, self._consequence)

    def over(self, *, failures_before: int) -> None:
        """A command was answered, of those that tell of jobs: a server may well answer others and refuse these.

        Parameters:
            failures_before: `failures` when it was sent; an answer that crossed with a failure ends no outage.
        """
        if self._told and failures_before == self.failures:
            self._told = set()
            logger.info("Valkey answers again")
