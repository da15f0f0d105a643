"""The form of exports: JSON lines, a header first, then what is remembered, and a last line that says it is whole.

Times are integers of microseconds since the Unix epoch, so nothing of a row is rounded away. API keys, jobs, audit and
usage are no part of it. Reading and writing rows is left to `transfer_export` and `transfer_import`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field, Strict, TypeAdapter
from pydantic.alias_generators import to_camel

from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.model.records import SourceType
from claude_mem.model.times import MAX_EPOCH_MS, MIN_POSTGRES_MS
from claude_mem.services.session_identity import SessionIdentity
from claude_mem.storage.cursors import Cursor

FORMAT: Final = "claude-mem-export"
VERSION: Final = 1

#: The media type of JSON lines, as their users write it; there is no registered one.
MEDIA_TYPE: Final = "application/x-ndjson"

Section = Literal["sessions", "events", "observations"]
SECTIONS: Final[tuple[Section, ...]] = ("sessions", "events", "observations")

#: What an export has lines of.
KINDS: Final = ("projects", *SECTIONS)

_MAX_ID: Final = 512
_MAX_LABEL: Final = 1024

Id = Annotated[str, Strict(), Field(min_length=1, max_length=_MAX_ID)]
Label = Annotated[str, Strict(), Field(min_length=1, max_length=_MAX_LABEL)]
Text = Annotated[str, Strict(), Field(min_length=1)]
Source = Annotated[SourceType, Field(description="As for jobs, or `manual`.")]
Us = Annotated[int, Strict(), Field(ge=MIN_POSTGRES_MS * 1000, le=MAX_EPOCH_MS * 1000)]


class Line(BaseModel):
    """What all lines have in common: members in camelCase; those that are not known are left out."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class HeaderLine(Line):
    """The first line: what this is, and of which team."""

    type: Literal["header"]
    format: Annotated[str, Strict()]
    version: Annotated[int, Strict()]
    team_id: Id | None = None
    team_name: Label | None = None


class ProjectLine(Line):
    """A project; it comes before what belongs to it."""

    type: Literal["project"]
    id: Id
    name: Label
    metadata: Any = Field(default_factory=dict)


class SessionLine(SessionIdentity, Line):
    """A session of an agent."""

    type: Literal["session"]
    id: Id
    project_id: Id
    external_session_id: Id | None = None
    idempotency_key: Label | None = None
    content_session_id: Id | None = None
    agent_id: Id | None = None
    agent_type: Id | None = None
    platform_source: Id | None = None
    generation_status: Literal["idle", "processing", "completed", "failed"] = "idle"
    metadata: Any = Field(default_factory=dict)
    started_at_us: Us
    ended_at_us: Us | None = None
    last_generated_at_us: Us | None = None
    created_at_us: Us
    updated_at_us: Us


class EventLine(Line):
    """An agent's event; `content_session_id` is its session's, by which its key was computed."""

    type: Literal["event"]
    id: Id
    project_id: Id
    server_session_id: Id | None = None
    content_session_id: Id | None = None
    source_adapter: Label
    source_event_id: Label | None = None
    idempotency_key: Label | None = None
    event_type: Label
    platform_source: Id | None = None
    payload: Any
    metadata: Any = Field(default_factory=dict)
    occurred_at_us: Us
    received_at_us: Us
    created_at_us: Us


class SourceEntry(Line):
    """What an observation was made from; `id` names an event or a session of the same export."""

    type: Source
    id: Id
    metadata: Any = Field(default_factory=dict)
    created_at_us: Us


class ObservationLine(Line):
    """A memory."""

    type: Literal["observation"]
    id: Id
    project_id: Id
    server_session_id: Id | None = None
    kind: Label
    content: Text
    metadata: Any = Field(default_factory=dict)
    created_at_us: Us
    updated_at_us: Us
    sources: list[SourceEntry] = Field(default_factory=list)


class CheckpointLine(Line):
    """How far an export is: its cursor asks for what follows."""

    type: Literal["checkpoint"]
    cursor: Text


class EndLine(Line):
    """The last line of an export that is whole."""

    type: Literal["end"]


AnyLine: TypeAlias = (
    HeaderLine | ProjectLine | SessionLine | EventLine | ObservationLine | CheckpointLine | EndLine
)
LINE: Final[TypeAdapter[AnyLine]] = TypeAdapter(Annotated[AnyLine, Field(discriminator="type")])

_START: Final = Cursor(MIN_POSTGRES_MS * 1000, "")


@dataclass(frozen=True, slots=True)
class Place:
    """How far an export is.

    Parameters:
        project: the project whose lines were written last: when it was made, and its id.
        section: the part of it.
        row: the last row of that part; before all rows where none was written yet.
        counts: lines so far, in the order of `KINDS`.
    """

    project: Cursor
    section: Section = "sessions"
    row: Cursor = _START
    counts: tuple[int, ...] = field(default=(0,) * len(KINDS))

    def encode(self) -> str:
        """The text that a reader sends back."""
        parts = [self.project.at_us, self.project.id, self.section, self.row.at_us, self.row.id, *self.counts]
        return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Place:
        """Raises: InvalidInput when it is not one that `encode` made."""
        try:
            padded = text + "=" * (-len(text) % 4)
            parts = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            project_us, project_id, section, at_us, row_id, *counts = _PLACE.validate_python(parts)
        except (binascii.Error, ValueError, TypeError) as error:
            raise _strange_cursor() from error
        if "\0" in project_id or "\0" in row_id:
            raise _strange_cursor()
        return cls(Cursor(project_us, project_id), section, Cursor(at_us, row_id), tuple(counts))


def _strange_cursor() -> InvalidInput:
    message = "cursor is not one of an export's checkpoint lines: leave it out to start from the beginning"
    return InvalidInput(message, (Issue("invalid_format", ("cursor",), message),))


#: More rows than any export has, and few enough to be counted on from.
_MAX_COUNT: Final = 2**53

_Count = Annotated[int, Strict(), Field(ge=0, le=_MAX_COUNT)]
_PLACE: Final[TypeAdapter[tuple[Any, ...]]] = TypeAdapter(
    tuple[
        Us,
        Id,
        Section,
        Us,
        Annotated[str, Strict(), Field(max_length=_MAX_ID)],
        _Count,
        _Count,
        _Count,
        _Count,
    ]
)


def header(*, team_id: str, team_name: str, exported_us: int, server: str) -> dict[str, Any]:
    """The first line.

    Parameters:
        exported_us: when the export began, in microseconds since the epoch.
        server: version of the program that writes it.
    """
    return {
        "type": "header",
        "format": FORMAT,
        "version": VERSION,
        "server": server,
        "teamId": team_id,
        "teamName": team_name,
        "exportedAtUs": exported_us,
    }


def check_header(line: AnyLine) -> HeaderLine:
    """Refuse what is no export, or one of a version that is not known.

    Raises: InvalidInput.
    """
    if not isinstance(line, HeaderLine) or line.format != FORMAT:
        raise InvalidInput(
            f'line 1 is not the header of an export: it has to say "type":"header","format":"{FORMAT}"'
        )
    if line.version != VERSION:
        raise InvalidInput(
            f"the export has version {line.version} of the format, and this server reads {VERSION}: "
            "import it with the release that wrote it, or a newer one"
        )
    return line
