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


class BriefedMemory(Shape):
    """How a memory is told in a context."""

    id: str
    why: list[str]
    similar: Annotated[list[str], Field(description="Ids of memories that say the same and are not told.")]
    supersededBy: Annotated[str | None, Field(description="Id of the newer memory that took its place.")]
    shortened: bool
    tokens: int


class BriefedSession(Shape):
    """What is told of one session, in order of time."""

    session: Annotated[TimelineSession | None, Field(description="Null for memories of no session.")]
    memories: list[BriefedMemory]


class Budget(Shape):
    """How the tokens of a context were used."""

    maxTokens: int
    usedTokens: Annotated[int, Field(description="Of `context`, estimated on the high side.")]
    folded: Annotated[int, Field(description="Memories that say the same as one that is told.")]
    leftOut: Annotated[int, Field(description="Memories for which there was no room.")]


class BriefingAnswer(Shape):
    """A context within a budget."""

    context: Annotated[str, Field(description="The text for a prompt; empty where nothing fits or is there.")]
    observations: Annotated[list[Observation], Field(description="Those that are told, in full.")]
    groups: list[BriefedSession]
    budget: Budget


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
