"""What has to be true when a fault test has come to rest."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg

from tests.chaos.clients import Clients
from tests.chaos.provider import FIRST_COST, Call

_CALL = re.compile(r"\bcall-(\d+)\b")
_FINDING = re.compile(r"Finding (mark-\d+)\b")

JOBS = """
SELECT j.id, j.source_type, j.source_id, j.status, j.last_error::text AS error, e.payload ->> 'output' AS output
FROM observation_generation_jobs AS j LEFT JOIN agent_events AS e ON e.id = j.agent_event_id
"""
OBSERVATIONS = """
SELECT o.id, o.kind, o.content, o.server_session_id,
       array_agg(s.generation_job_id ORDER BY s.generation_job_id) FILTER (WHERE s.id IS NOT NULL) AS jobs
FROM observations AS o LEFT JOIN observation_sources AS s ON s.observation_id = o.id GROUP BY o.id
"""
HISTORY = """
SELECT generation_job_id AS job,
       CASE details ->> 'reason' WHEN 'lease_expired' THEN 'interrupted' ELSE event_type END AS kind
FROM observation_generation_job_events
"""
AUDIT = """
SELECT action, resource_id, count(*) AS count FROM audit_log
WHERE action IN ('generation_job.completed', 'observation.created') GROUP BY 1, 2
"""
USAGE = "SELECT (metadata ->> 'inputTokens')::int AS tokens FROM usage_events WHERE kind = 'tokens'"


@dataclass(slots=True)
class Verdict:
    """What was found.

    Attributes:
        breaches: what should not be; empty when all is well.
        figures: for people.
    """

    breaches: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)

    def expect(self, condition: object, what: str) -> None:
        if not condition:
            self.breaches.append(what)

    def expect_none(self, found: Iterable[object], what: str) -> None:
        """Expect that nothing was found; tell of some of it otherwise."""
        wrong = list(found)
        if wrong:
            self.breaches.append(f"{len(wrong)} {what}: {', '.join(map(str, wrong[:5]))}")


@dataclass(slots=True)
class _Books:
    """Everything that the database holds of the matter."""

    jobs: dict[str, Any]
    observations: list[Any]
    history: dict[str, Counter[str]]
    audit: dict[str, Counter[str]]
    usage: list[Any]
    events: list[Any]
    replies: list[str]
    sums: tuple[int, int]


class Ledger:
    """Reads the database when the service is at rest."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def _fetch(self, *statements: str) -> list[list[Any]]:
        connection = await asyncpg.connect(self._url)
        try:
            return [await connection.fetch(statement) for statement in statements]
        finally:
            await connection.close()

    async def open_jobs(self) -> int:
        """Jobs that are not at their end."""
        [[row]] = await self._fetch(
            "SELECT count(*) AS count FROM observation_generation_jobs WHERE status IN ('queued', 'processing')"
        )
        return int(row["count"])

    async def judge(
        self, clients: Clients, calls: Sequence[Call], *, rested_s: float | None, surprises: Sequence[str]
    ) -> Verdict:
        """Hold what is stored against what was accepted and what was answered.

        Parameters:
            calls: what the provider was asked.
            rested_s: seconds from the last fault to rest; None when it did not come.
            surprises: processes that ended by themselves.
        """
        books = await self._books()
        verdict = Verdict()
        verdict.expect(rested_s is not None, "jobs were still open long after the last fault")
        verdict.expect_none(surprises, "processes ended by themselves")
        verdict.expect_none(clients.wrong, "requests got an answer that no fault explains")
        _judge_events(verdict, books, clients)
        _judge_jobs(verdict, books, clients, calls)
        _judge_calls(verdict, books, calls)
        _judge_observations(verdict, books)
        _judge_trail(verdict, books)
        _judge_usage(verdict, books, calls)
        verdict.figures |= _figures(books, calls, rested_s)
        return verdict

    async def _books(self) -> _Books:
        jobs, observations, history, audit, usage, events, replies, [sums] = await self._fetch(
            JOBS,
            OBSERVATIONS,
            HISTORY,
            AUDIT,
            USAGE,
            "SELECT id, source_event_id AS name FROM agent_events",
            "SELECT job_id FROM generation_replies",
            "SELECT (SELECT coalesce(sum(quantity), 0) FROM usage_events WHERE kind = 'tokens') AS rows,"
            " (SELECT coalesce(sum(tokens), 0) FROM usage_days WHERE project_id = '') AS counted",
        )
        lines: dict[str, Counter[str]] = defaultdict(Counter)
        for row in history:
            lines[row["job"]][row["kind"]] += 1
        entries: dict[str, Counter[str]] = defaultdict(Counter)
        for row in audit:
            entries[row["action"]][row["resource_id"]] = row["count"]
        return _Books(
            {row["id"]: row for row in jobs},
            observations,
            lines,
            entries,
            usage,
            events,
            [row["job_id"] for row in replies],
            (int(sums["rows"]), int(sums["counted"])),
        )


def _name(job: Any) -> str:
    """By what the provider knows what a job is about: the word of its event, or the session."""
    return str(job["output"].split()[1] if job["output"] else job["source_id"])


def _judge_events(verdict: Verdict, books: _Books, clients: Clients) -> None:
    stored = Counter(row["name"] for row in books.events)
    verdict.expect_none((name for name, count in stored.items() if count > 1), "events are stored twice")
    ids = {row["name"]: row["id"] for row in books.events}
    lost = (n for n, (event, _) in clients.events.items() if ids.get(f"event-{n}") != event)
    verdict.expect_none(lost, "events were answered 201 and are not there")
    jobs_of = Counter(job["source_id"] for job in books.jobs.values())
    verdict.expect_none(
        (name for name, event in ids.items() if jobs_of[event] != 1), "events do not have exactly one job"
    )
    told = (n for n, (_, job) in clients.events.items() if job not in books.jobs)
    verdict.expect_none(told, "events were answered with a job that is not theirs")
    unsummed = (session for session, job in clients.sessions.items() if job not in books.jobs)
    verdict.expect_none(unsummed, "sessions have ended without a job for their summary")


def _judge_jobs(verdict: Verdict, books: _Books, clients: Clients, calls: Sequence[Call]) -> None:
    left = (job["id"] for job in books.jobs.values() if job["status"] not in {"completed", "failed"})
    verdict.expect_none(left, "jobs have not ended")
    failed = [job for job in books.jobs.values() if job["status"] == "failed"]
    verdict.expect_none((job["id"] for job in failed if not job["error"]), "jobs failed without a reason")
    answered = Counter(name for call in calls if call.is_good for name in call.names)
    # An answer on its way to a worker that is killed is heard by nobody.
    spoilt = (
        f"{job['id']} {job['error']} {dict(books.history[job['id']])}"
        for job in failed
        if answered[_name(job)] > books.history[job["id"]]["interrupted"]
    )
    verdict.expect_none(spoilt, "jobs failed although the provider answered well")
    unasked = (
        f"{job['id']} {job['error']} {dict(books.history[job['id']])}"
        for job in failed
        if not books.history[job["id"]].keys() & {"retry_scheduled", "failed"}
    )
    verdict.expect_none(unasked, "jobs failed because of the kills alone")


def _judge_calls(verdict: Verdict, books: _Books, calls: Sequence[Call]) -> None:
    """Each call of a job beyond its first follows an attempt that was interrupted or answered badly."""
    asked = Counter(name for call in calls for name in call.names)
    too_many = []
    for job in books.jobs.values():
        lines = books.history[job["id"]]
        count = asked[_name(job)]
        if count > 1 + lines["retry_scheduled"] + lines["interrupted"]:
            too_many.append(f"{job['id']}: {count} calls, {dict(lines)}")
    verdict.expect_none(too_many, "jobs were asked about more often than their attempts explain")
    attempts = sum(lines["processing"] for lines in books.history.values())
    ended = sum(lines["completed"] for lines in books.history.values())
    verdict.expect(
        len(calls) <= len(books.jobs) + attempts - ended,
        f"{len(calls)} calls for {len(books.jobs)} jobs and {attempts - ended} interrupted attempts",
    )


def _judge_observations(verdict: Verdict, books: _Books) -> None:
    findings: dict[str, list[Any]] = defaultdict(list)
    shared: Counter[str] = Counter()
    summaries: Counter[str] = Counter()
    for row in books.observations:
        found = _FINDING.search(row["content"])
        if found:
            findings[found.group(1)].append(row)
        elif row["kind"] == "summary":
            summaries[row["server_session_id"]] += 1
        else:
            shared[_calls_in(row["content"])] += 1
    verdict.expect_none((word for word, rows in findings.items() if len(rows) > 1), "findings are doubled")
    verdict.expect_none((call for call, count in shared.items() if count > 1), "shared findings are doubled")
    verdict.expect_none((name for name, count in summaries.items() if count > 1), "summaries are doubled")
    missing, misled = [], []
    for job in books.jobs.values():
        if job["status"] == "completed" and job["source_type"] == "agent_event":
            rows = findings.get(_name(job), [])
            if not rows:
                missing.append(job["id"])
            misled += [job["id"] for row in rows if row["jobs"] != [job["id"]]]
        elif job["status"] == "completed" and not summaries[job["source_id"]]:
            missing.append(job["id"])
    verdict.expect_none(missing, "completed jobs left no observation")
    verdict.expect_none(misled, "findings are linked to other jobs than their own")
    verdict.expect_none(
        (row["id"] for row in books.observations if not row["jobs"]), "observations lack a source"
    )


def _calls_in(content: str) -> str:
    found = _CALL.search(content)
    return found.group(1) if found else ""


def _judge_trail(verdict: Verdict, books: _Books) -> None:
    completed = {job["id"] for job in books.jobs.values() if job["status"] == "completed"}
    audited = books.audit["generation_job.completed"]
    verdict.expect(
        audited == Counter(completed),
        f"completions are not audited once each: {len(audited)} of {len(completed)}",
    )
    lines = Counter({job: count["completed"] for job, count in books.history.items() if count["completed"]})
    verdict.expect(lines == Counter(completed), "completions do not stand once each in the histories")
    made = Counter({row["id"]: 1 for row in books.observations})
    verdict.expect(books.audit["observation.created"] == made, "observations are not audited once each")
    verdict.expect_none(books.replies, "kept answers were not used up")


def _judge_usage(verdict: Verdict, books: _Books, calls: Sequence[Call]) -> None:
    paid = Counter(row["tokens"] for row in books.usage if row["tokens"])
    verdict.expect_none((cost for cost, count in paid.items() if count > 1), "calls are counted twice")
    known = {call.cost for call in calls}
    verdict.expect_none((cost for cost in paid if cost not in known), "tokens were counted of no call")
    used = {FIRST_COST + int(_calls_in(row["content"])) for row in books.observations}
    verdict.expect_none(used - set(paid), "calls were used and not counted")
    verdict.expect(books.sums[0] == books.sums[1], f"rows and counters of usage differ: {books.sums}")


def _figures(books: _Books, calls: Sequence[Call], rested_s: float | None) -> dict[str, object]:
    reasons = Counter(
        str(json.loads(job["error"]).get("classification"))
        for job in books.jobs.values()
        if job["status"] == "failed"
    )
    attempts = sum(lines["processing"] for lines in books.history.values())
    return {
        "events": len(books.events),
        "jobs": len(books.jobs),
        "completed": sum(job["status"] == "completed" for job in books.jobs.values()),
        "failed": dict(reasons),
        "attempts": attempts,
        "calls": len(calls),
        "good calls": sum(call.is_good for call in calls),
        "calls counted": sum(1 for row in books.usage if row["tokens"]),
        "observations": len(books.observations),
        "seconds to rest": None if rested_s is None else round(rested_s, 1),
    }
