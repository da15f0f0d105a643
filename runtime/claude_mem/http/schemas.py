"""The bodies that routes accept. Unknown members are left out; optional is not nullable unless it says so."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from claude_mem.model.times import MAX_EPOCH_MS, parse_since
from claude_mem.services.briefing import MEMORIES, MOST_MEMORIES, MOST_TOKENS, TOKENS
from claude_mem.services.retention_rules import MOST_DAYS, MOST_KEPT
from claude_mem.services.session_identity import SessionIdentity

#: Characters of an id or name at most: four bytes each still fit an index entry of PostgreSQL.
MAX_ID = 512

#: Characters of a free label, such as an event's type.
MAX_LABEL = 1024


def _integral(value: Any) -> Any:
    """JSON has one kind of number: 1.0 is an integer, true is not."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _given(value: Any) -> Any:
    """An empty text counts as none, for claude-mem 13 never read the field and clients may send one."""
    return None if value == "" else value


def _moment(value: Any) -> Any:
    """A time that is written as in `since` of listings; what cannot be meant is refused: it would widen what is done."""
    if value is None:
        return None
    moment = parse_since(value) if isinstance(value, str) else None
    if moment is None:
        raise PydanticCustomError("custom", "not a time; write it as in 2026-01-31T10:00:00Z")
    return moment


def _several(value: Any) -> Any:
    """One is written without brackets."""
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Strict(), Field(min_length=1)]
Id = Annotated[str, Strict(), Field(min_length=1, max_length=MAX_ID)]

Label = Annotated[str, Strict(), Field(min_length=1, max_length=MAX_LABEL)]
ToolUseId = Annotated[str, Strict(), Field(max_length=MAX_LABEL)] | None
Integer = Annotated[int, Strict(), BeforeValidator(_integral)]
Object = Annotated[dict[str, Any], Strict()]
Moment = Annotated[
    int,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "description": "A time, as in 2026-01-31T10:00:00Z."}),
]
Choices = Annotated[list[Label], Field(min_length=1, max_length=20), BeforeValidator(_several)]


class Body(BaseModel):
    """What all bodies have in common: members in camelCase."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class EventBody(Body):
    """An agent event."""

    project_id: Id
    source_type: Literal["hook", "worker", "provider", "server", "api"]
    event_type: Label
    occurred_at_epoch: Annotated[Integer, Field(ge=0, le=MAX_EPOCH_MS)]
    server_session_id: Id | None = None
    content_session_id: Id | None = None
    memory_session_id: Text | None = None
    platform_source: Id | None = None
    payload: Any = Field(default_factory=dict)
    source_event_id: Annotated[Label | None, BeforeValidator(_given)] = None
    metadata: Object | None = None


class SessionBody(SessionIdentity, Body):
    """The start of a session."""

    project_id: Id
    external_session_id: Id = Field(default=None)  # type: ignore[assignment] # optional, but null is refused
    content_session_id: Id | None = None
    agent_id: Id | None = None
    agent_type: Id | None = None
    platform_source: Id | None = None
    metadata: Object = Field(default_factory=dict)


class MemoryBody(Body):
    """A memory that somebody writes; `narrative` is another name for its content."""

    project_id: Id
    content: Text = Field(validation_alias=AliasChoices("content", "narrative"))
    kind: Label = "manual"
    server_session_id: Id | None = None
    metadata: Object = Field(default_factory=dict)
    type: Annotated[str, Strict()] | None = None
    title: Annotated[str, Strict()] | None = None


class MemoryChangeBody(Body):
    """What to change of a memory."""

    content: Text = Field(default=None, validation_alias=AliasChoices("content", "narrative"))  # type: ignore[assignment] # optional, but null is refused
    kind: Label = Field(default=None)  # type: ignore[assignment] # as above
    metadata: Object = Field(default=None)  # type: ignore[arg-type] # as above

    @model_validator(mode="after")
    def _changes_something(self) -> MemoryChangeBody:
        if self.content is None and self.kind is None and self.metadata is None:
            raise PydanticCustomError("custom", "name at least one of content, kind and metadata")
        return self


class QuestionBody(Body):
    """A question, and what its answer is narrowed to; a list takes any of its entries."""

    project_id: Id
    query: Text
    platform_source: Id | None = None
    kind: Choices | None = None
    server_session_id: Id | None = None
    files: Choices | None = None
    concepts: Choices | None = None
    since: Moment | None = None
    until: Moment | None = None


class SearchBody(QuestionBody):
    """A question whose answers are looked at one by one."""

    limit: Annotated[Integer, Field(ge=1, le=100)] = 20
    cursor: Text | None = None
    highlights: Annotated[bool, Strict()] = False
    explain: Annotated[bool, Strict()] = False


class ContextBody(QuestionBody):
    """A question whose answer is pasted into a prompt."""

    limit: Annotated[Integer, Field(ge=1, le=50)] = 10


class BriefingBody(QuestionBody):
    """What a context within a budget is for; without a question, what is useful at the start of anything."""

    query: Annotated[str, Strict()] = ""
    limit: Annotated[Integer, Field(ge=1, le=MOST_MEMORIES)] = MEMORIES
    max_tokens: Annotated[Integer, Field(ge=1, le=MOST_TOKENS)] = TOKENS
    format: Literal["json", "prompt"] = "json"


class KeyBody(Body):
    """A key to be made; without scopes it may only read."""

    label: Annotated[str, Strict(), Field(max_length=120)] = Field(default=None)  # type: ignore[assignment] # optional, but null is refused
    name: Annotated[str, Strict(), Field(max_length=120)] | None = None
    expires_in_days: Annotated[Integer, Field(ge=1, le=365)] = Field(default=None)  # type: ignore[assignment] # as above
    scopes: Annotated[list[Label], Field(min_length=1, max_length=20)] | None = None
    project_id: Id | None = None


class RotationBody(Body):
    """How a key is replaced."""

    overlap_seconds: Annotated[Integer, Field(ge=0, le=30 * 86_400)] = 0


class NameBody(Body):
    """A new name."""

    name: Annotated[str, Strict(), Field(min_length=1, max_length=200)]


class ProjectBody(NameBody):
    """A project to be made."""

    metadata: Object = Field(default_factory=dict)


class ProjectChangeBody(Body):
    """What to change of a project; null goes back to what holds for all projects."""

    name: Annotated[str, Strict(), Field(min_length=1, max_length=200)] = Field(default=None)  # type: ignore[assignment] # optional, but null is refused
    mode: Label | None = None
    language: Label | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> ProjectChangeBody:
        if not self.model_fields_set:
            raise PydanticCustomError("custom", "name at least one of name, mode and language")
        return self


class RetentionBody(Body):
    """A retention rule."""

    subject: Literal["memories", "events", "sessions", "audit"]
    project_id: Id | None = None
    kinds: Annotated[list[Label], Field(min_length=1, max_length=50)] | None = None
    max_age_days: Annotated[Integer, Field(ge=1, le=MOST_DAYS)] | None = None
    keep_last: Annotated[Integer, Field(ge=1, le=MOST_KEPT)] | None = None
    keep_summaries: Annotated[bool, Strict()] = False


class CompatObservationBody(SessionIdentity, Body):
    """A tool use as older hooks send it; everything but the session and the tool is optional."""

    content_session_id: Id
    tool_name: Label = Field(alias="tool_name")
    agent_id: Annotated[str, Strict()] | None = None
    agent_type: Annotated[str, Strict()] | None = None
    platform_source: Annotated[str, Strict()] | None = None
    cwd: Annotated[str, Strict()] | None = None
    snake_tool_use_id: ToolUseId = Field(default=None, alias="tool_use_id")
    camel_tool_use_id: ToolUseId = Field(default=None, alias="toolUseId")
    tool_input: Any = Field(default=None, alias="tool_input")
    tool_response: Any = Field(default=None, alias="tool_response")

    @property
    def tool_use_id(self) -> str | None:
        """The first of its two spellings that says something."""
        return self.snake_tool_use_id or self.camel_tool_use_id or None


class CompatSummaryBody(SessionIdentity, Body):
    """The end of a session as older hooks send it."""

    content_session_id: Id
    agent_id: Annotated[str, Strict()] | None = None
    platform_source: Annotated[str, Strict()] | None = None


EVENT: TypeAdapter[EventBody] = TypeAdapter(EventBody)
EVENTS: TypeAdapter[list[EventBody]] = TypeAdapter(
    Annotated[list[EventBody], Field(min_length=1, max_length=500)]
)
SESSION: TypeAdapter[SessionBody] = TypeAdapter(SessionBody)
MEMORY: TypeAdapter[MemoryBody] = TypeAdapter(MemoryBody)
MEMORY_CHANGE: TypeAdapter[MemoryChangeBody] = TypeAdapter(MemoryChangeBody)
SEARCH: TypeAdapter[SearchBody] = TypeAdapter(SearchBody)
CONTEXT: TypeAdapter[ContextBody] = TypeAdapter(ContextBody)
BRIEFING: TypeAdapter[BriefingBody] = TypeAdapter(BriefingBody)
EITHER_CONTEXT: TypeAdapter[BriefingBody | ContextBody] = TypeAdapter(BriefingBody | ContextBody)
KEY: TypeAdapter[KeyBody] = TypeAdapter(KeyBody)
ROTATION: TypeAdapter[RotationBody] = TypeAdapter(RotationBody)
NAME: TypeAdapter[NameBody] = TypeAdapter(NameBody)
PROJECT: TypeAdapter[ProjectBody] = TypeAdapter(ProjectBody)
PROJECT_CHANGE: TypeAdapter[ProjectChangeBody] = TypeAdapter(ProjectChangeBody)
RETENTION: TypeAdapter[RetentionBody] = TypeAdapter(RetentionBody)
COMPAT_OBSERVATION: TypeAdapter[CompatObservationBody] = TypeAdapter(CompatObservationBody)
COMPAT_SUMMARY: TypeAdapter[CompatSummaryBody] = TypeAdapter(CompatSummaryBody)
