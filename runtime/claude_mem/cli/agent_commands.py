"""The commands that connect a coding agent and feed the server: install, hook, spool, and import.

Arguments in, calls of `claude_mem.client`, results out; what a command does is decided there.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from claude_mem.cli import client_options as options
from claude_mem.cli.output import ExitCode, client_errors, emit, fail, note, stderr
from claude_mem.client import settings
from claude_mem.client.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from claude_mem.client.install import FileChange


def install(
    *,
    agent: Annotated[
        str, typer.Option("--agent", help="Coding agent to connect: claude-code.")
    ] = "claude-code",
    server_url: Annotated[
        str, typer.Option("--server-url", envvar=settings.SERVER_URL, help="Address of the server.")
    ] = "",
    api_key: Annotated[
        str,
        typer.Option(
            "--api-key", envvar=settings.SERVER_API_KEY, show_envvar=True, help="Key; - reads it from stdin."
        ),
    ] = "",
    project_id: Annotated[
        str, typer.Option("--project-id", envvar=settings.SERVER_PROJECT_ID, help="Project of the memories.")
    ] = "",
    scope: options.Scope = "user",
    runtime: Annotated[
        str, typer.Option("--runtime", help="server, or its older name server-beta.")
    ] = "server",
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Connect a coding agent: write the client's settings, the agent's hooks and its MCP entry."""
    from claude_mem.client import install as installer  # noqa: PLC0415

    _check_choice("--agent", agent, choices=installer.AGENTS)
    _check_choice("--scope", scope, choices=installer.SCOPES)
    request = installer.InstallRequest(
        agent=agent,
        scope=scope,
        runtime=runtime,
        server_url=server_url,
        api_key=(sys.stdin.readline() if api_key == "-" else api_key).strip(),
        project_id=project_id.strip(),
        directory=Path.cwd(),
    )
    with client_errors():
        plan = installer.plan_install(request)
        _carry_out(plan, dry_run=dry_run, as_json=as_json)
    stored = plan[0].after or {}
    if not dry_run and settings.SERVER_PROJECT_ID not in stored:
        note("No project is set: hooks use the server's only one. Name it: claude-mem install --project-id P")
    if not dry_run and scope == "project" and settings.SERVER_API_KEY in stored:
        note("The project's MCP entry takes the key from the environment: export CLAUDE_MEM_SERVER_API_KEY")


def uninstall(
    *,
    scope: options.Scope = "user",
    purge: Annotated[bool, typer.Option("--purge", help="Remove the client's settings too.")] = False,
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Take the hooks and the MCP entry back out of the coding agent's files."""
    from claude_mem.client import install as installer  # noqa: PLC0415

    _check_choice("--scope", scope, choices=installer.SCOPES)
    with client_errors():
        plan = installer.plan_uninstall(scope=scope, purge=purge, directory=Path.cwd())
        _carry_out(plan, dry_run=dry_run, as_json=as_json)


def _check_choice(option: str, value: str, *, choices: tuple[str, ...]) -> None:
    if value not in choices:
        fail(f"{option} must be one of: {', '.join(choices)}", code=ExitCode.USAGE)


def _carry_out(plan: Sequence[FileChange], *, dry_run: bool, as_json: bool) -> None:
    from claude_mem.client import install as installer  # noqa: PLC0415

    changes = [change for change in plan if change.changes_anything]
    described = [
        {
            "path": str(change.path),
            "action": "remove" if change.after is None else "write",
            **({"content": installer.redacted(change.after)} if dry_run else {}),
        }
        for change in changes
    ]
    if not dry_run:
        installer.apply_changes(plan)

    def render(console: Console) -> None:
        for change in described:
            verb = (
                f"would {change['action']}"
                if dry_run
                else "removed"
                if change["action"] == "remove"
                else "wrote"
            )
            console.print(f"{verb} {change['path']}", markup=False)
            if change.get("content") is not None:
                console.print_json(data=change["content"])
        if not changes:
            console.print("nothing to change")

    emit({"dryRun": dry_run, "changed": described}, as_json=as_json, render=render)


def hook(
    event: Annotated[str, typer.Argument(help="Hook event; default: the JSON's hook_event_name.")] = "",  # noqa: ARG001
    project_id: options.ProjectId = "",  # noqa: ARG001
) -> None:
    """Take a coding agent's hook JSON from stdin and send it. Never fails; complaints go to logs/hook.log."""
    from claude_mem.client import hook as hook_command  # noqa: PLC0415

    raise typer.Exit(hook_command.run(sys.argv[2:]))


def spool_status(*, as_json: options.AsJson = False) -> None:
    """Say how much waits for delivery."""
    report = options.spool_report()
    age = "" if report["oldestAgeSeconds"] is None else f", the oldest for {report['oldestAgeSeconds']} s"
    emit(
        report,
        as_json=as_json,
        render=lambda console: console.print(f"{report['entries']} waiting, {report['bytes']} bytes{age}"),
    )


def spool_flush(
    *,
    server_url: options.ServerUrl = "",
    timeout: Annotated[float, typer.Option("--timeout", min=1, help="Seconds after which to stop.")] = 60.0,
    as_json: options.AsJson = False,
) -> None:
    """Deliver what waits, in order; exit status 5 when something still waits afterwards."""
    from claude_mem.client.delivery import Delivery  # noqa: PLC0415
    from claude_mem.client.sender import Sender  # noqa: PLC0415

    with client_errors():
        resolved = settings.load_settings()
        settings.select_runtime(resolved.runtime.value)
        url = settings.checked_server_url(server_url or resolved.server_url.value)
    sender = Sender(
        url, resolved.api_key.value, deadline=time.monotonic() + timeout, request_seconds=min(timeout, 10.0)
    )
    delivery = Delivery(sender, project_id=resolved.project_id.value, log=note)
    delivery.run(Spool(resolved.data_dir), wait=True)
    sender.close()
    report = {"delivered": delivery.delivered, "dropped": delivery.dropped, **options.spool_report()}
    emit(
        report,
        as_json=as_json,
        render=lambda console: console.print(
            f"{delivery.delivered} delivered, {delivery.dropped} dropped, {report['entries']} waiting"
        ),
    )
    if report["entries"]:
        reason = delivery.stopped or "the server does not take them (see above)"
        fail(
            f"{report['entries']} operations still wait: {reason}",
            hint="claude-mem status",
            code=ExitCode.UNAVAILABLE,
        )


def import_transcript(
    *,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A .jsonl transcript.")
    ],
    server_url: options.ServerUrl = "",
    project_id: options.ProjectId = "",
    dry_run: options.DryRun = False,
    as_json: options.AsJson = False,
) -> None:
    """Send a Claude Code transcript to the server; doing it again adds nothing."""
    from claude_mem.client import transcript_import  # noqa: PLC0415

    plan = transcript_import.read_plan(file)
    result: dict[str, Any] = {
        "dryRun": dry_run,
        "sessions": list(plan.sessions),
        "events": plan.event_count,
        "unansweredToolCalls": plan.unanswered,
        "badLines": plan.bad_lines,
    }
    if not plan.sessions:
        fail(
            f"{file} holds no conversation ({plan.bad_lines} bad lines)",
            hint="name a Claude Code .jsonl transcript",
        )
    if not dry_run:
        columns = (TextColumn("importing"), BarColumn(), MofNCompleteColumn())
        with (
            client_errors(),
            options.client(server_url, project_id) as client,
            Progress(*columns, console=stderr(), disable=not sys.stderr.isatty()) as bar,
        ):
            task = bar.add_task("importing", total=plan.event_count)
            report = transcript_import.send_plan(
                client, plan, project_id=project_id or None, progress=lambda count: bar.advance(task, count)
            )
        result |= {"sent": report.sent, "duplicates": report.duplicates, "refused": report.refused}
    if plan.bad_lines:
        note(f"{plan.bad_lines} lines are not JSON records and were passed over.")
    emit(result, as_json=as_json, render=lambda console: _render_import(console, result))
    if result.get("refused"):
        fail(f"the server refused {len(result['refused'])} events: {result['refused'][0]}")


def _render_import(console: Console, result: dict[str, Any]) -> None:
    sessions = len(result["sessions"])
    if result["dryRun"]:
        console.print(f"would send {result['events']} events of {sessions} session(s)")
    else:
        console.print(
            f"{result['sent']} events sent, {result['duplicates']} were there already, {sessions} session(s)"
        )
