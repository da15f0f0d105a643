"""Claimed jobs become calls: what can be decided without a provider is, and events of one session share a call.

The material of a whole group of jobs is read with one statement a kind. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from claude_mem.generation.elements import event_tokens
from claude_mem.generation.payload import nothing_left
from claude_mem.generation.prompts import build_prompt
from claude_mem.generation.rules import is_trivial
from claude_mem.model.documents import dumps
from claude_mem.services.failures import Failure
from claude_mem.services.outcomes import Answered, Failed, Outcome, Taken
from claude_mem.services.publishing import PRIVATE_MARK
from claude_mem.services.requests import make_request, seen, summary_request
from claude_mem.storage import work

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from claude_mem.generation.port import EventInput, GenerationRequest
    from claude_mem.model.records import ApiKey, Job, Project
    from claude_mem.services.requests import CallTerms
    from claude_mem.storage.database import Database


@dataclass(frozen=True, slots=True)
class Call:
    """A call to be made, and the jobs that share its answer.

    Parameters:
        request: what to ask; events that say the same stand in it once.
        jobs_of: for each event of the request, the jobs that its observations belong to.
        tokens: of its events, or of a summary's whole prompt, as estimated.
        size: characters of stored texts that it is made of, and holds in memory until it is over.
    """

    taken: tuple[Taken, ...]
    request: GenerationRequest
    jobs_of: dict[str, tuple[str, ...]]
    tokens: int
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a group of claimed jobs.

    Parameters:
        settled: outcomes that need no call.
        kept: answers that earlier attempts paid for, by call, with the jobs that are to have them.
        left: jobs whose texts have no room now; to be planned again.
    """

    settled: list[Outcome] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    kept: dict[str, tuple[list[Taken], str]] = field(default_factory=dict)
    left: list[Taken] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Member:
    """A job of an event, with the event as the observer sees it, and the characters of its payload."""

    taken: Taken
    event: EventInput
    size: int


async def plan(database: Database, group: Sequence[Taken], terms: CallTerms, *, room: int) -> Plan:
    """Decide what is to be done about claimed jobs.

    Parameters:
        room: bytes of stored texts that may be read, after which the rest is left; one job's always are.

    Raises: Unavailable.
    """
    made = Plan()
    permitted = await _permitted(database, group, made)
    kept = await work.kept_replies(database, [taken.job.id for taken in permitted]) if permitted else {}
    for taken in permitted:
        if taken.job.id in kept:
            reply = kept[taken.job.id]
            made.kept.setdefault(reply.call_id, ([], reply.document))[0].append(taken)
    open_jobs = [taken for taken in permitted if taken.job.id not in kept]
    projects = await work.projects(database, {taken.job.project_id for taken in open_jobs})
    happened = [taken for taken in open_jobs if taken.job.lane == "event"]
    await _plan_events(database, happened, terms, projects, made, room=room)
    for taken in open_jobs:
        if taken.job.lane == "summary":
            await _plan_summary(database, taken, terms, projects, made, room=room)
    return made


async def _permitted(database: Database, group: Sequence[Taken], made: Plan) -> list[Taken]:
    asking = {taken.job.id: _asking_key(taken.job.payload.members) for taken in group}
    known = await work.keys(database, {key_id for key_id in asking.values() if key_id is not None})
    permitted = []
    for taken in group:
        failure = _refusal(taken.job, asking[taken.job.id], known)
        if failure is None:
            permitted.append(taken)
        else:
            made.settled.append(Failed(taken, failure, None))
    return permitted


def _refusal(job: Job, key_id: str | None, known: dict[str, ApiKey]) -> Failure | None:
    payload = job.payload.members
    scope = (payload.get("team_id", job.team_id), payload.get("project_id", job.project_id))
    if scope != (job.team_id, job.project_id):
        return Failure("scope_mismatch", "the job's payload names another team or project")
    if key_id is None:
        return None
    if key_id not in known or any(map(_is_taken_back, _lineage(key_id, known))):
        return Failure("revoked_key", "the API key that asked for this, or one in its place, was revoked")
    return None


def _lineage(key_id: str | None, known: dict[str, ApiKey]) -> Iterator[ApiKey]:
    """A key, and those that took its place, one after the other."""
    seen: set[str] = set()
    while key_id in known and key_id not in seen:
        seen.add(key_id)
        yield known[key_id]
        key_id = known[key_id].replaced_by


def _is_taken_back(key: ApiKey) -> bool:
    """Whether somebody revoked a key.

    One that was rotated or has expired was good when the work was accepted. A rotation, too, revokes: at the end of the
    time that it leaves to the old key, never before.
    """
    if key.revoked_ms is None or key.replaced_by is None:
        return key.revoked_ms is not None
    return key.expires_ms is not None and key.revoked_ms < key.expires_ms


def _asking_key(payload: dict[str, Any]) -> str | None:
    """The id of the key that last asked for a job; None when it was nobody's.

    An operator who tries a job again vouches for it: the key of its first request may be gone by then.
    """
    if "last_retried_by" in payload:
        return None
    key_id = payload.get("last_retried_by_actor" if "last_retried_by_actor" in payload else "api_key_id")
    return key_id if isinstance(key_id, str) else None


async def _plan_events(
    database: Database,
    group: Sequence[Taken],
    terms: CallTerms,
    projects: dict[str, Project],
    made: Plan,
    *,
    room: int,
) -> None:
    found, unread = await work.events(database, _in_sessions(group), most=room)
    groups: dict[object, list[_Member]] = {}
    for taken in group:
        job = taken.job
        if _event_id(job) in unread:
            made.left.append(taken)
            continue
        event = found.get(_event_id(job))
        if event is None or (event.team_id, event.project_id) != (job.team_id, job.project_id):
            made.settled.append(Answered((taken,)))
            continue
        shown = seen(event)
        if job.payload.members.get(PRIVATE_MARK) or nothing_left(shown.payload) or _is_skipped(shown, terms):
            made.settled.append(Answered((taken,)))
            continue
        groups.setdefault(_group_of(job), []).append(_Member(taken, shown, len(event.payload.text)))
    for members in groups.values():
        members.sort(key=lambda member: (member.event.occurred_at_ms, member.event.id))
        made.calls.extend(_call(part, tokens, terms, projects) for part, tokens in _parts(members, terms))


async def _plan_summary(
    database: Database,
    taken: Taken,
    terms: CallTerms,
    projects: dict[str, Project],
    made: Plan,
    *,
    room: int,
) -> None:
    if made.calls and sum(call.size for call in made.calls) >= room:
        made.left.append(taken)
        return
    found = await summary_request(database, taken.job, terms, projects)
    if found is None:
        made.settled.append(Answered((taken,)))
        return
    request, size = found
    made.calls.append(Call((taken,), request, {}, build_prompt(request).tokens, size))


def _group_of(job: Job) -> object:
    """What the events of a call have in common."""
    return (job.id,) if job.server_session_id is None else job.server_session_id


def _in_sessions(group: Sequence[Taken]) -> list[str]:
    """The events of jobs, those of a session one after the other, so that what is left is whole sessions."""
    place: dict[object, int] = {}
    for taken in group:
        place.setdefault(_group_of(taken.job), len(place))
    ordered = sorted(group, key=lambda taken: place[_group_of(taken.job)])
    return list(dict.fromkeys(_event_id(taken.job) for taken in ordered))


def _is_skipped(event: EventInput, terms: CallTerms) -> bool:
    return terms.skips_trivial and is_trivial(event)


def _parts(members: Iterable[_Member], terms: CallTerms) -> Iterable[tuple[list[_Member], int]]:
    """Members that fit one call, each time with their tokens."""
    part: list[_Member] = []
    size = 0
    for member in members:
        tokens = event_tokens(member.event)
        if part and (len(part) >= terms.events or size + tokens > terms.tokens):
            yield part, size
            part, size = [], 0
        part.append(member)
        size += tokens
    if part:
        yield part, size


def _call(members: list[_Member], tokens: int, terms: CallTerms, projects: dict[str, Project]) -> Call:
    asked: dict[tuple[str, bytes | str], EventInput] = {}
    jobs_of: dict[str, tuple[str, ...]] = {}
    for member in members:
        event = member.event
        first = asked.setdefault((event.event_type, _said(event)), event)
        jobs_of[first.id] = (*jobs_of.get(first.id, ()), member.taken.job.id)
    job = members[0].taken.job
    request = make_request(job, tuple(asked.values()), terms, projects)
    size = sum(member.size for member in members)
    return Call(tuple(member.taken for member in members), request, jobs_of, tokens, size)


def _said(event: EventInput) -> bytes | str:
    """What events have in common that say the same; an adopted one may be nested too deeply to be compared."""
    try:
        return dumps(event.payload)
    except TypeError:
        return event.id


def _event_id(job: Job) -> str:
    return job.agent_event_id or job.source_id
