"""One call of the API as a value: what to send, and how to read the answer. Nothing here does any I/O.

The `routes_*` modules build calls; `sdk` sends them, blocking or not, so that the two clients cannot
differ. A call that needs a project has `OWN_PROJECT` where its caller named none, and the client puts its
own there.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError

from claude_mem.client.errors import ConfigurationError, UnexpectedReply

if TYPE_CHECKING:
    from collections.abc import Mapping

ReplyT = TypeVar("ReplyT")

#: The server gives up waiting for generation after 30 s; the answer then needs a moment to arrive.
WAIT_TIMEOUT_SECONDS = 40.0


class _OwnProject:
    """Marks the place where the client's own project id goes."""


OWN_PROJECT = _OwnProject()


class Unset(enum.Enum):
    """Marks what is to stay as it is, where None takes a value away."""

    UNSET = enum.auto()


UNSET = Unset.UNSET


@dataclass(frozen=True, kw_only=True, slots=True)
class Call(Generic[ReplyT]):
    """One request and the shape of its answer.

    Parameters:
        reply: the type the answer is validated against.
        lines: a body of JSON lines, in the place of `body`.
        unwrap: the key of the answer that holds the reply, or None for the whole answer.
        repeatable: doing it twice has the same effect as doing it once, so a lost answer may be asked for
            again.
        timeout: seconds to wait for the answer, or None for the client's default.
        accepts: error statuses that are an answer all the same.
    """

    method: str
    path: str
    reply: Any
    params: Mapping[str, Any] | None = None
    body: Any = None
    lines: bytes | None = None
    unwrap: str | None = None
    repeatable: bool = False
    timeout: float | None = None
    accepts: frozenset[int] = frozenset()

    def for_project(self, project_id: str | None) -> Call[ReplyT]:
        """The same call with the client's own project filled in.

        Raises:
            ConfigurationError: the call needs a project and the client has none.
        """
        return replace(self, params=_filled(self.params, project_id), body=_filled(self.body, project_id))

    def parse(self, content: Any) -> ReplyT:
        """Read the answer's JSON.

        Raises:
            UnexpectedReply: it does not have the shape this API answers with.
        """
        try:
            found = content if self.unwrap is None else content[self.unwrap]
            reply: ReplyT = TypeAdapter(self.reply).validate_python(found)
        except (KeyError, TypeError, ValidationError) as error:
            raise UnexpectedReply(
                f"{self.method} {self.path} was answered with something else than this API's reply. "
                "Check that the server URL points to a claude-mem server."
            ) from error
        return reply


def required_project(project_id: str | None) -> str:
    """The client's own project.

    Raises:
        ConfigurationError: there is none.
    """
    if not project_id:
        raise ConfigurationError(
            "No project is set. Pass project_id, set CLAUDE_MEM_SERVER_PROJECT_ID, or run: claude-mem install"
        )
    return project_id


def _filled(value: Any, project_id: str | None) -> Any:
    if isinstance(value, dict):
        return {
            key: required_project(project_id) if item is OWN_PROJECT else item for key, item in value.items()
        }
    if isinstance(value, list):
        return [_filled(item, project_id) for item in value]
    return value


def segment(value: str) -> str:
    """A text as one segment of a path."""
    return quote(value, safe="")


def present(**values: Any) -> dict[str, Any]:
    """The values that were given."""
    return {key: value for key, value in values.items() if value is not None}


def flags(**values: bool) -> dict[str, str]:
    """Switches as the query has them."""
    return {name: "true" if value else "false" for name, value in values.items()}
