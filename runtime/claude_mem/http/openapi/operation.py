"""What a route is, said once beside its handler: for the document, and for the tests that hold the server to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast

from claude_mem.http.replaying import replayable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import TypeAdapter

    from claude_mem.http.replaying import Handler

    H = TypeVar("H", bound=Handler)

JSON: Final = "application/json"

Tag = Literal[
    "Health",
    "Events",
    "Sessions",
    "Memories",
    "Jobs",
    "Streams",
    "Keys",
    "Teams and projects",
    "Usage and budgets",
    "Moving",
    "Retention",
    "MCP",
    "Viewer",
    "Older hooks",
    "This machine",
    "Description",
]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the query or a header.

    Parameters:
        schema: JSON schema of a value that has an effect; the query's others count as not given.
    """

    name: str
    description: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    place: Literal["query", "header"] = "query"


@dataclass(frozen=True, slots=True)
class Other:
    """An answer that is not JSON of one shape.

    Parameters:
        media: its type; None is an answer without a body.
        shape: of an answer that is JSON of a type of its own; text where there is none.
        also: a type that is text, for who asks for that one.
    """

    media: str | None
    description: str
    shape: Any = None
    also: str | None = None


WITHOUT_SLASH: Final = Other(None, "To the same address without the slash at its end.")


@dataclass(frozen=True, slots=True)
class Operation:
    """A route, as people and programs are told of it.

    Parameters:
        scope: what a key must have; None where none is asked for.
        answers: shapes of JSON bodies by status, or what else is answered.
        refusals: statuses that this route refuses with, besides those that all like it do.
        body: what is read; None where nothing is.
        upload: media type of a body that is read as it comes; its bounds are the handler's.
        body_needed: whether the body may be left out.
        local: only this machine may ask.
        replayable: takes an Idempotency-Key.
        versioned: answers with an ETag.
    """

    name: str
    summary: str
    tag: Tag
    scope: str | None = None
    answers: Mapping[int, Any] = field(default_factory=dict)
    refusals: frozenset[int] = frozenset()
    parameters: tuple[Parameter, ...] = ()
    body: TypeAdapter[Any] | None = None
    upload: str | None = None
    body_needed: bool = True
    local: bool = False
    replayable: bool = False
    versioned: bool = False


_OPERATIONS: dict[Any, Operation] = {}


def describe(operation: Operation) -> Callable[[H], H]:
    """Declare the operation of a handler, and have it do what the declaration says of Idempotency-Keys."""

    def declared(handler: H) -> H:
        served = cast("H", replayable(handler)) if operation.replayable else handler
        _OPERATIONS[served] = operation
        return served

    return declared


def operation_of(handler: Any) -> Operation | None:
    """What was declared for a handler; None where nothing was, or where it is marked as no part of the API."""
    return _OPERATIONS.get(handler)


LIMIT = Parameter(
    "limit", "Most entries of the page.", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}
)
CURSOR = Parameter("cursor", "`nextCursor` of the page before.")
PROJECT = Parameter("projectId", "Only of this project.")
LAST_EVENT_ID = Parameter("Last-Event-ID", "`id` of the last event that was received.", place="header")
