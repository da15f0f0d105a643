"""`claude-mem server jobs …`: generation jobs as an operator sees and steers them, by the rules that HTTP has.

Whose jobs a command touches is for `server_job_scope`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.cli import server_job_shapes as shown
from claude_mem.cli.output import ExitCode
from claude_mem.cli.server_context import (
    AsJson,
    Limit,
    Project,
    Target,
    Team,
    moment,
    run,
    show,
    show_lines,
    show_rows,
    target,
)
from claude_mem.cli.server_job_scope import scope_of
from claude_mem.http import wire
from claude_mem.model.errors import NotFound, Unavailable
from claude_mem.model.records import Job, JobStatus, Lane
from claude_mem.process.parts import make_queue
from claude_mem.services import health
from claude_mem.services.jobs import REDRIVE_DEFAULT, REDRIVE_MOST, JobService
from claude_mem.services.steering import Operator
from claude_mem.storage import failed_jobs, jobs
from claude_mem.storage.database import fetch_one

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from rich.console import Console

    from claude_mem.cli.server_job_scope import Scope
    from claude_mem.queue.port import Queue
    from claude_mem.services.jobs import Redriven, Steered
    from claude_mem.storage.database import Database

JobId = Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")]
Status = Annotated[JobStatus | None, typer.Option("--status", help="Only jobs in this state.")]


def jobs_callback(
    ctx: typer.Context, *, status: Status = None, limit: Limit = 50, as_json: AsJson = False
) -> None:
    """List jobs, as `jobs list` does, where no command follows."""
    if ctx.invoked_subcommand is None:
        list_jobs(status=status, limit=limit, as_json=as_json)


def list_jobs(
    *,
    status: Status = None,
    limit: Limit = 50,
    team: Team = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    wanted = jobs.JobFilter(team_id=team, project_id=project, status=str(status) if status else None)
    listed = [
        shown.entry(job)
        for job in run(lambda database: jobs.list_page(database, wanted, limit=limit, offset=0))
    ]
    show_rows(
        {"status": wanted.status, "count": len(listed), "jobs": listed},
        [list(entry.values()) for entry in listed],
        columns=("id", "projectId", "teamId", "sourceType", "status", "attempts", "createdAt"),
        as_json=as_json,
        nothing="no such jobs",
    )


def inspect(*, job_id: JobId, as_json: AsJson = False) -> None:
    """Print a job's whole row, its payload included, and what happened to it."""

    async def work(database: Database) -> dict[str, Any]:
        row = await fetch_one(database, "jobs.find_anywhere", id=job_id)
        if row is None:
            raise NotFound(f"there is no job {job_id!r}")
        return shown.plain(row) | {
            "history": [shown.line(line) for line in await jobs.history(database, job_id)]
        }

    found = run(work, missing=ExitCode.FAILURE)
    show(found, as_json=as_json, render=lambda console: console.print_json(data=found))


def status(*, team: Team = None, project: Project = None, as_json: AsJson = False) -> None:
    """Count jobs by state, in the database and as the queue's lanes."""
    found = target()
    scope = scope_of(found, team=team, project=project)

    async def work(database: Database) -> dict[str, Any]:
        counted = await jobs.count_by_status(database, team_id=scope.team, project_id=scope.project)
        lanes = await _lanes(database, _queue(found))
        # The queue carries ids only and its lanes are counted from the same rows, so the two cannot differ.
        return {
            "scope": scope.shown(),
            "postgres": counted,
            "bullmq": lanes or {"unavailable": True},
            "divergence": {} if lanes else {"reason": "bullmq_unavailable"},
        }

    report = run(work, on=found)

    def render(console: Console) -> None:
        for name in JobStatus:
            console.print(f"{name:<12}{report['postgres'].get(name, 0)}")
        if "unavailable" in report["bullmq"]:
            console.print("the queue does not answer; workers find jobs in the database", markup=False)

    show(report, as_json=as_json, render=render)


def failed(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=500, help="Most jobs to print.")] = 20,
    team: Team = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """List failed jobs with their reasons, the latest failure first."""
    found = target()
    scope = scope_of(found, team=team, project=project)
    listed = [
        shown.failure(job)
        for job in run(
            lambda database: failed_jobs.list_latest(
                database, team_id=scope.team, project_id=scope.project, limit=limit
            ),
            on=found,
        )
    ]
    show_rows(
        {"scope": scope.shown(), "limit": limit, "count": len(listed), "failed": listed},
        [
            (
                entry["id"],
                entry["sourceType"],
                entry["attempts"],
                entry["failedAt"],
                (entry["lastError"] or {}).get("reason"),
            )
            for entry in listed
        ],
        columns=("id", "sourceType", "attempts", "failedAt", "reason"),
        as_json=as_json,
        nothing="no failed jobs",
    )


def retry(*, job_id: JobId, team: Team = None, project: Project = None, as_json: AsJson = False) -> None:
    """Queue a failed or cancelled job again; a queued one is left as it is."""
    found = target()
    steered = _steer(
        found,
        scope_of(found, team=team, project=project),
        job_id=job_id,
        change=lambda service, job: service.retry(job, Operator("cli_operator")),
    )
    result: dict[str, Any] = {
        "id": job_id,
        "action": "retry",
        "outcome": "noop_already_queued" if steered.unchanged else "requeued",
        "retriedCount": steered.retried,
    }
    if not steered.unchanged:
        result |= {"status": str(steered.job.status), "attempts": steered.job.attempts}
    show_lines(result, as_json=as_json)


def redrive(  # noqa: PLR0913 - an option each
    *,
    lane: Annotated[
        Lane | None,
        typer.Option("--lane", metavar="event|summary", help="Only jobs of events, or only summaries."),
    ] = None,
    classification: Annotated[
        str | None, typer.Option("--classification", metavar="CLASS", help="Only this class of error.")
    ] = None,
    since: Annotated[
        str | None,
        typer.Option("--since", metavar="TIME", help="Only what failed at or after this time, UTC."),
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Only what failed before this time.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=REDRIVE_MOST, help="Most jobs to queue.")
    ] = REDRIVE_DEFAULT,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which they would be.")] = False,
    team: Team = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Queue failed jobs again, the earliest failure first: all of a team or project, or those that the options name."""
    found = target()
    scope = scope_of(found, team=team, project=project)

    async def work(database: Database) -> Redriven:
        wanted = failed_jobs.FailedFilter(
            team_id=scope.team,
            project_id=scope.project,
            lane=lane,
            classification=classification,
            since_us=moment("--since", since),
            until_us=moment("--until", until),
        )
        queue = _queue(found)
        try:
            return await JobService(database, queue).redrive(
                wanted, Operator("cli_operator"), limit=limit, dry_run=dry_run
            )
        finally:
            await queue.close()

    show_lines(
        {"scope": scope.shown(), "action": "redrive"} | wire.redriven(run(work, on=found)), as_json=as_json
    )


def cancel(*, job_id: JobId, team: Team = None, project: Project = None, as_json: AsJson = False) -> None:
    """Cancel a job that is not completed; a cancelled one is left as it is."""
    found = target()
    steered = _steer(
        found,
        scope_of(found, team=team, project=project),
        job_id=job_id,
        change=lambda service, job: service.cancel(job, Operator("cli_operator")),
    )
    result = {
        "id": job_id,
        "action": "cancel",
        "outcome": "noop_already_cancelled" if steered.unchanged else "cancelled",
        "status": str(steered.job.status),
    }
    show_lines(result, as_json=as_json)


def _steer(
    found: Target, scope: Scope, *, job_id: str, change: Callable[[JobService, Job], Awaitable[Steered]]
) -> Steered:
    async def work(database: Database) -> Steered:
        job = await jobs.find_anywhere(database, job_id)
        if job is None or not scope.has(job):
            raise NotFound(f"there is no job {job_id!r} within this scope")
        queue = _queue(found)
        try:
            return await change(JobService(database, queue), job)
        finally:
            await queue.close()

    return run(work, on=found, missing=ExitCode.FAILURE)


def _queue(found: Target) -> Queue:
    """The transport; workers of other processes look for themselves, so nobody is woken here."""
    return make_queue(found.queue, lambda: None)


async def _lanes(database: Database, queue: Queue) -> dict[str, Any] | None:
    """The depth of each lane, or None where there is no queue or it does not answer."""
    try:
        await queue.ping(timeout_s=health.TIMEOUT_S)
    except Unavailable:
        return None
    finally:
        await queue.close()
    counted = {lane.kind: lane.counts for lane in await health.lanes(database)}
    if queue.state.status != "active" or None in counted.values():
        return None
    return {kind: {**(counts or {}), "stalled": 0} for kind, counts in counted.items()}
