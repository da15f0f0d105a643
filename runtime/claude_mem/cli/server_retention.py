"""`claude-mem server retention …`: what is forgotten with time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.output import note
from claude_mem.cli.server_context import AsJson, Project, Team, run, show_lines, show_rows
from claude_mem.cli.server_usage import scope_of
from claude_mem.http.forgetting import removal, rule
from claude_mem.services.bootstrap import cli_entry
from claude_mem.services.retention import RetentionService
from claude_mem.services.retention_rules import MOST_DAYS, new_rule, told
from claude_mem.storage import retention

if TYPE_CHECKING:
    from claude_mem.services.retention import Removal
    from claude_mem.storage.database import Database
    from claude_mem.storage.retention import Rule

_RULE_COLUMNS = (
    *("id", "projectId", "subject", "kinds", "maxAgeDays", "keepLast", "keepSummaries"),
    *("lastRunAtEpoch", "lastRemoved"),
)
_REMOVAL_COLUMNS = ("ruleId", "projectId", "subject", "count", "oldestAtEpoch")

RuleId = Annotated[str, typer.Argument(help="Id of a rule.")]


def list_rules(*, team: Team = None, project: Project = None, as_json: AsJson = False) -> None:
    """Show a team's rules; with a project those that are for it alone."""

    async def work(database: Database) -> list[Rule]:
        team_id = await scope_of(database, team=team, project=project)
        found = await retention.of_team(database, team_id)
        return [one for one in found if project in {None, one.project_id}]

    listed = [rule(one) for one in run(work)]
    show_rows(
        {"rules": listed},
        [[one[column] for column in _RULE_COLUMNS] for one in listed],
        columns=_RULE_COLUMNS,
        as_json=as_json,
        nothing="no rules: nothing is forgotten; add one with: claude-mem server retention add",
    )


def add(
    *,
    subject: Annotated[str, typer.Argument(help="memories, events, sessions or audit.")],
    max_age_days: Annotated[
        int | None, typer.Option("--max-age-days", min=1, max=MOST_DAYS, help="What is younger stays.")
    ] = None,
    keep_last: Annotated[
        int | None, typer.Option("--keep-last", min=1, help="So many of each project stay, however old.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="Only of this kind, event type or action; may be repeated."),
    ] = None,
    keep_summaries: Annotated[
        bool, typer.Option("--keep-summaries", help="Summaries of sessions stay.")
    ] = False,
    team: Team = None,
    project: Project = None,
    as_json: AsJson = False,
) -> None:
    """Add a rule to a team, or to one project; neither age nor number keeps all that the project has."""

    async def work(database: Database) -> Rule:
        wanted = new_rule(
            team_id=await scope_of(database, team=team, project=project),
            project_id=project,
            subject=subject,
            kinds=kind,
            max_age_days=max_age_days,
            keep_last=keep_last,
            keep_summaries=keep_summaries,
        )
        entry = cli_entry(
            "retention.set", wanted.id, team_id=wanted.team_id, project_id=project, **told(wanted)
        )
        return await RetentionService(database).add(wanted, entry)

    show_lines(rule(run(work)), as_json=as_json)


def remove(*, rule_id: RuleId, team: Team = None, as_json: AsJson = False) -> None:
    """Remove a rule; what it removed stays removed."""

    async def work(database: Database) -> None:
        team_id = await scope_of(database, team=team, project=None)
        entry = cli_entry("retention.remove", rule_id, team_id=team_id, project_id=None)
        await RetentionService(database).drop(rule_id, team_id=team_id, entry=entry)

    run(work)
    show_lines({"deleted": True, "id": rule_id}, as_json=as_json)


def run_now(
    *,
    team: Team = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Carry a team's rules out now; servers do so every hour."""

    async def work(database: Database) -> list[Removal]:
        team_id = await scope_of(database, team=team, project=None)
        service = RetentionService(database)
        if dry_run:
            return await service.preview(team_id)
        found: list[Removal] = []
        for one in await retention.of_team(database, team_id):
            removed = await service.carry_out(one)
            if removed is None:
                note(f"rule {one.id} is being carried out by a server already")
            found += removed or []
        return found

    listed = [removal(one) for one in run(work)]
    show_rows(
        {"dryRun": dry_run, "removals": listed},
        [[one[column] for column in _REMOVAL_COLUMNS] for one in listed],
        columns=_REMOVAL_COLUMNS,
        as_json=as_json,
        nothing="nothing to remove",
    )
