"""What generation takes and gives: requests, the reply model, and the port every provider implements.

The reply model is the one shape that a structured reply, an XML reply and the offline rules end in. Reading
replies is `parser`'s task, wording prompts `prompts`'s; queues, budgets and storage are the worker's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from claude_mem.generation.mode import Mode

RequestKind = Literal["event", "summary"]


@dataclass(frozen=True, slots=True)
class EventInput:
    """One event as the observer sees it.

    Parameters:
        id: id of the stored event.
        event_type: the client's word for it, such as `tool_use`; free text.
        source_adapter: which way it came in, such as `hook`.
        occurred_at_ms: when it happened, epoch milliseconds.
        payload: any JSON value.
    """

    id: str
    event_type: str
    source_adapter: str
    occurred_at_ms: int
    payload: Any


@dataclass(frozen=True, slots=True)
class ObservationInput:
    """One stored observation, as material for a session summary.

    Parameters:
        id: id of the stored observation.
        kind: its type, such as `bugfix`.
        content: its rendered text.
        metadata: its stored metadata; `title`, `facts`, `files_read` and `files_modified` are read where
            present.
    """

    id: str
    kind: str
    content: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """Everything one provider call is about.

    Parameters:
        kind: `event` asks for observations, `summary` for a session summary.
        job_id, project_id, team_id: whose work this is; named in the prompt.
        events: the events, oldest first; several share one call.
        mode: the loaded mode: allowed types, concepts and wording.
        project_name, server_session_id: named in the prompt when known.
        observations: for summaries, what is already remembered of the session, oldest first.
        session_prompt: for summaries, the user's first prompt of the session when known.
        language: language to write in, as a tag (`de`) or a name; None leaves it to the mode.
        had_before: for events, what is known of the long texts that earlier calls of the session had in them
            (`payload.text_digests`); they are referred to.
        observed: for summaries, ids of the events that `observations` came from; what they say stands there.
    """

    kind: RequestKind
    job_id: str
    project_id: str
    team_id: str
    events: tuple[EventInput, ...]
    mode: Mode
    project_name: str | None = None
    server_session_id: str | None = None
    observations: tuple[ObservationInput, ...] = ()
    session_prompt: str | None = None
    language: str | None = None
    had_before: frozenset[bytes] = frozenset()
    observed: frozenset[str] = frozenset()


def clean(text: str) -> str:
    """Drop what PostgreSQL cannot hold (NUL, lone surrogates) and surrounding blanks."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8").strip()


def _text(value: object) -> str | None:
    if value is None or isinstance(value, dict | list):
        return None
    return clean(str(value)) or None


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return [text for item in values if (text := _text(item)) is not None]


def _concepts(value: object) -> list[str]:
    return [concept for text in _texts(value) if (concept := text.partition(":")[0].strip())]


Text = Annotated[str | None, BeforeValidator(_text)]
Texts = Annotated[list[str], BeforeValidator(_texts)]


class DraftObservation(BaseModel):
    """One observation as a model wrote it. Blank texts are None, blank entries are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Annotated[str, BeforeValidator(lambda value: _text(value) or "")] = ""
    title: Text = None
    subtitle: Text = None
    facts: Texts = Field(default_factory=list)
    narrative: Text = None
    concepts: Annotated[list[str], BeforeValidator(_concepts)] = Field(default_factory=list)
    files_read: Texts = Field(default_factory=list)
    files_modified: Texts = Field(default_factory=list)
    source_events: Texts = Field(default_factory=list)
    """Ids of the request's events that it came from; empty means all of them."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it worth a row."""
        return not (self.title or self.narrative or self.facts or self.concepts)


class DraftSummary(BaseModel):
    """A session summary as a model wrote it, before it is stored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    request: Text = None
    investigated: Text = None
    learned: Text = None
    completed: Text = None
    next_steps: Text = None
    notes: Text = None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing; notes alone do not count."""
        return not (self.request or self.investigated or self.learned or self.completed or self.next_steps)


class Reply(BaseModel):
    """What a reply says: observations, a summary, or that nothing is worth keeping."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    observations: list[DraftObservation] = Field(default_factory=list)
    summary: DraftSummary | None = None
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call as the provider counted them.

    Parameters:
        input_tokens: tokens of the prompt.
        output_tokens: tokens of the reply, thinking included.
        total: what the provider bills as the sum; it may exceed the other two together.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    total: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.total + other.total,
        )


@dataclass(frozen=True, slots=True)
class ProviderResult:
    """A call that worked.

    Parameters:
        text: the raw reply, None when no model wrote it. Never to be logged.
        reply: what it says.
        usage: tokens of the call.
        provider, model: who answered, as stored in metadata.
        method: `rules` when no model was asked, else None.
    """

    text: str | None = field(repr=False)
    reply: Reply
    usage: Usage
    provider: str
    model: str
    method: str | None = None


@runtime_checkable
class Provider(Protocol):
    """Something that turns a request into a reply."""

    @property
    def name(self) -> str:
        """Canonical provider name: `claude`, `gemini`, `openrouter` or `offline`."""
        ...

    @property
    def model(self) -> str:
        """Model that is asked."""
        ...

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        """Make one call.

        Raises:
            GenerationError: the call failed; its class says whether to try again.
        """
        ...

    async def close(self) -> None:
        """Release connections. The provider is not used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class CallAdmission:
    """How many calls would be let through now.

    Parameters:
        calls: None for any number; 0 while nobody can be asked, 1 while one may find out whether somebody can.
        wait_s: seconds until that may be different; 0 where it may be any moment.
    """

    calls: int | None = None
    wait_s: float = 0.0


@runtime_checkable
class Guarded(Protocol):
    """A provider that may refuse calls without making them, and says so before."""

    @property
    def admission(self) -> CallAdmission:
        """How many calls would be let through now."""
        ...
