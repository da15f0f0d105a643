"""Claimed jobs become calls: what can be decided without a provider is, and events of one session share a call.

The material of a whole group of jobs is read with one statement a kind. Nothing is changed here.
"""

from __future__ import annotations

from dataclasses import dataclass
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
    """

    taken: tuple[Taken, ...]
    request: GenerationRequest
    jobs_of: dict[str, tuple[str, ...]]
    tokens: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a group of claimed jobs.

    Parameters:
        settled: outcomes that need no call.
        kept: answers that earlier attempts paid for, by call, with the jobs that are to have them.
    """

    settled: list[Outcome]
    calls: list[Call]
    kept: dict[str, tuple[list[Taken], str]]


async def plan(database: Database, group: Sequence[Taken], terms: CallTerms) -> Plan:
    """Decide what is to be done about claimed jobs.

    Raises: Unavailable.
    """
    made = Plan([], [], {})
    permitted = await _permitted(database, group, made)
    kept = await work.kept_replies(database, [taken.job.id for taken in permitted]) if permitted else {}
    for taken in permitted:
        if taken.job.id in kept:
            reply = kept[taken.job.id]
            made.kept.setdefault(reply.call_id, ([], reply.document))[0].append(taken)
    open_jobs = [taken for taken in permitted if taken.job.id not in kept]
    projects = await work.projects(database, {taken.job.project_id for taken in open_jobs})
    await _plan_events(
        database, [taken for taken in open_jobs if taken.job.lane == "event"], terms, projects, made
    )
    for taken in open_jobs:
        if taken.job.lane == "summary":
            request = await summary_request(database, taken.job, terms, projects)
            if request is None:
                made.settled.append(Answered((taken,)))
            else:
                made.calls.append(Call((taken,), request, {}, build_prompt(request).tokens))
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
) -> None:
    found = await work.events(database, {_event_id(taken.job) for taken in group})
    groups: dict[object, list[tuple[Taken, EventInput]]] = {}
    for taken in group:
        job = taken.job
        event = found.get(_event_id(job))
        if event is None or (event.team_id, event.project_id) != (job.team_id, job.project_id):
            made.settled.append(Answered((taken,)))
            continue
        shown = seen(event)
        if job.payload.members.get(PRIVATE_MARK) or nothing_left(shown.payload) or _is_skipped(shown, terms):
            made.settled.append(Answered((taken,)))
            continue
        session = job.server_session_id
        groups.setdefault(session if session is not None else (job.id,), []).append((taken, shown))
    for members in groups.values():
        members.sort(key=lambda member: (member[1].occurred_at_ms, member[1].id))
        made.calls.extend(_call(part, tokens, terms, projects) for part, tokens in _parts(members, terms))


def _is_skipped(event: EventInput, terms: CallTerms) -> bool:
    return terms.skips_trivial and is_trivial(event)


def _parts(
    members: Iterable[tuple[Taken, EventInput]], terms: CallTerms
) -> Iterable[tuple[list[tuple[Taken, EventInput]], int]]:
    """Members that fit one call, each time with their tokens."""
    part: list[tuple[Taken, EventInput]] = []
    size = 0
    for member in members:
        tokens = event_tokens(member[1])
        if part and (len(part) >= terms.events or size + tokens > terms.tokens):
            yield part, size
            part, size = [], 0
        part.append(member)
        size += tokens
    if part:
        yield part, size


def _call(
    members: list[tuple[Taken, EventInput]], tokens: int, terms: CallTerms, projects: dict[str, Project]
) -> Call:
    asked: dict[tuple[str, bytes | str], EventInput] = {}
    jobs_of: dict[str, tuple[str, ...]] = {}
    for taken, event in members:
        first = asked.setdefault((event.event_type, _said(event)), event)
        jobs_of[first.id] = (*jobs_of.get(first.id, ()), taken.job.id)
    job = members[0][0].job
    request = make_request(job, tuple(asked.values()), terms, projects)
    return Call(tuple(taken for taken, _ in members), request, jobs_of, tokens)


def _said(event: EventInput) -> bytes | str:
    """What events have in common that say the same; an adopted one may be nested too deeply to be compared."""
    try:
        return dumps(event.payload)
    except TypeError:
        return event.id


def _event_id(job: Job) -> str:
    return job.agent_event_id or job.source_id
