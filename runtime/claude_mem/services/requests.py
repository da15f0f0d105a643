"""What a call asks: requests made of stored events and observations, in the mode and language of their project.

Which jobs share a call is decided in `calls`; how a request is worded is the generation package's.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from claude_mem.generation.mode import Mode, ModeError, ModeLibrary
from claude_mem.generation.port import EventInput, GenerationRequest, ObservationInput
from claude_mem.storage import events, observations, rows, sessions, work
from claude_mem.storage.search import parted

if TYPE_CHECKING:
    from claude_mem.model.records import Event, Job, Observation, Project
    from claude_mem.storage.database import Database

logger = logging.getLogger(__name__)

#: Events of a session that its summary is made from at most, the newest of them.
SUMMARY_EVENTS = 500

#: Observations of a session that its summary is told of at most, the newest of them.
SUMMARY_OBSERVATIONS = 100

#: Characters of events, and of observations, that are read for a summary, unless a single one has more. Its prompt has some
#: thousand tokens and a line for each; of a session with more, long events that are old are left out.
SUMMARY_CHARACTERS = 8 * 2**20


@dataclass(frozen=True, slots=True)
class CallTerms:
    """How calls are made up.

    Parameters:
        mode: what kinds of observation there are, where a project does not say otherwise.
        language: to write in, or None; a project may say otherwise here as well.
        events: events in a call at most.
        tokens: estimated tokens of a call's events at most.
        skips_trivial: whether events without substance are done without a call.
        modes: where the modes of projects are found.
    """

    mode: Mode
    language: str | None
    events: int
    tokens: int
    skips_trivial: bool
    modes: ModeLibrary = field(default_factory=ModeLibrary)

    def mode_of(self, project: Project | None) -> Mode:
        """The mode that a project's metadata names, else the common one; so too where it cannot be used."""
        name = project.metadata.members.get("mode") if project else None
        if project is None or not isinstance(name, str) or not name.strip():
            return self.mode
        try:
            return self.modes.load(name.strip())
        except ModeError as error:
            logger.warning(
                "the mode of a project cannot be used", extra={"project": project.id, "reason": str(error)}
            )
            return self.mode

    def language_of(self, project: Project | None) -> str | None:
        """The language that a project's metadata names; else the common one, unless its mode has its own."""
        name = project.metadata.members.get("language") if project else None
        if isinstance(name, str) and name.strip():
            return name
        own = self.mode_of(project)
        return None if own is not self.mode and own.language else self.language


async def summary_request(
    database: Database, job: Job, terms: CallTerms, projects: dict[str, Project]
) -> tuple[GenerationRequest, int] | None:
    """What to ask for a session's summary, and the characters of the texts that it is made of.

    Returns: None where there is no session or nothing happened in it.

    Raises: Unavailable.
    """
    session = await sessions.find(database, job.source_id, team_id=job.team_id)
    if session is None:
        return None
    happened = await events.of_session(
        database,
        session.id,
        team_id=job.team_id,
        project_id=job.project_id,
        limit=SUMMARY_EVENTS,
        most=SUMMARY_CHARACTERS,
    )
    if not happened:
        return None
    listed = await observations.list_rows(
        database,
        team_id=job.team_id,
        project_id=job.project_id,
        kind=None,
        session_id=session.id,
        before=None,
        limit=SUMMARY_OBSERVATIONS,
        most=SUMMARY_CHARACTERS,
    )
    told = [rows.event(row) for row in happened if row["payload"] is not None]
    known = [rows.observation(row) for row in parted(listed)[0]]
    origins = await work.origins(database, [each.id for each in known])
    prompt = session.metadata.members.get("prompt")
    request = replace(
        make_request(job, tuple(map(seen, told)), terms, projects),
        observations=_in_order(known, [row["id"] for row in happened], origins),
        observed=frozenset(event_id for event_ids in origins.values() for event_id in event_ids),
        session_prompt=prompt if isinstance(prompt, str) else None,
    )
    texts = [*(each.payload.text for each in told), *(each.content for each in known)]
    return request, sum(map(len, texts))


def make_request(
    job: Job,
    happened: tuple[EventInput, ...],
    terms: CallTerms,
    projects: dict[str, Project],
) -> GenerationRequest:
    """What to ask about events for a job.

    Parameters:
        projects: by id; of the job's, the name, the mode and the language are taken.
    """
    project = projects.get(job.project_id)
    return GenerationRequest(
        kind=job.lane,
        job_id=job.id,
        project_id=job.project_id,
        team_id=job.team_id,
        events=happened,
        mode=terms.mode_of(project),
        project_name=project.name if project else None,
        server_session_id=job.server_session_id,
        language=terms.language_of(project),
    )


def seen(event: Event) -> EventInput:
    """An event as the observer sees it."""
    return EventInput(
        id=event.id,
        event_type=event.event_type,
        source_adapter=event.source_adapter,
        occurred_at_ms=event.occurred_ms,
        payload=_payload(event),
    )


def _in_order(
    known: list[Observation], event_ids: list[str], origins: dict[str, list[str]]
) -> tuple[ObservationInput, ...]:
    """Observations as their events happened: those of one call were stored at the same moment."""
    place = {event_id: index for index, event_id in enumerate(event_ids)}

    def key(each: Observation) -> tuple[int, int]:
        return each.created_ms, min((place.get(origin, 0) for origin in origins.get(each.id, ())), default=0)

    return tuple(
        ObservationInput(id=each.id, kind=each.kind, content=each.content, metadata=each.metadata.members)
        for each in sorted(known, key=key)
    )


def _payload(event: Event) -> Any:
    """What was observed; as text where it is nested deeper than the parser goes, as adopted rows may be."""
    try:
        return event.payload.value
    except ValueError:
        return event.payload.text
