"""Shapes of timelines, and of messages of the Model Context Protocol."""

from __future__ import annotations

from typing import Annotated, Literal, NotRequired

from pydantic import Field

from claude_mem.http.responses.base import Epoch, Json, NextCursor, Shape
from claude_mem.http.responses.records import Observation, Session

Cursor = Annotated[
    str | None, Field(description="Asks for what follows in this direction, as `cursor`; null at the end.")
]


class TimelineEntry(Shape):
    """Something in a timeline, briefly."""

    type: Literal["observation", "summary", "prompt", "event"]
    id: Annotated[str, Field(description="Of the observation or the event.")]
    atEpoch: Epoch
    serverSessionId: str | None
    kind: Annotated[str, Field(description="An observation's kind, an event's type.")]
    title: str | None
    text: Annotated[str, Field(description="What it says, shortened.")]


class TimelineSession(Shape):
    """A session that entries belong to."""

    id: str
    platformSource: str | None
    prompt: Annotated[str | None, Field(description="What the session was asked to do, if that is known.")]
    startedAtEpoch: Epoch
    endedAtEpoch: Epoch | None


class Timeline(Shape):
    """What lies around a memory, in order of time."""

    memory: Observation
    before: list[TimelineEntry]
    after: list[TimelineEntry]
    sessions: list[TimelineSession]
    olderCursor: Cursor
    newerCursor: Cursor


class SessionStory(Shape):
    """A session and what happened in it, oldest first."""

    session: Session
    entries: list[TimelineEntry]
    nextCursor: NextCursor


class RpcProblem(Shape):
    """Why a message was not accepted."""

    code: int
    message: str
    data: NotRequired[Json]


class RpcAnswer(Shape):
    """An answer in JSON-RPC."""

    jsonrpc: Literal["2.0"]
    id: Json
    result: NotRequired[Json]
    error: NotRequired[RpcProblem]


class RpcRefusal(Shape):
    """A refusal in JSON-RPC."""

    jsonrpc: Literal["2.0"]
    id: Json
    error: RpcProblem
