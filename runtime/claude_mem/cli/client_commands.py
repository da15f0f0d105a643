"""The application of the client: every command that needs no server packages, and those that ask the server.

Arguments in, calls of `claude_mem.client`, results out; what a command does is decided there. Every command
takes `--json`; flags win over the environment, which wins over the settings file.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from claude_mem import __version__
from claude_mem.cli import agent_commands, local_import
from claude_mem.cli import client_options as options
from claude_mem.cli.output import ExitCode, client_errors, emit, fail, note
from claude_mem.client import settings

if TYPE_CHECKING:
    from rich.console import Console

    from claude_mem.client.models import Observation


def application() -> typer.Typer:
    """The application with every client command."""
    app = typer.Typer(
        name="claude-mem",
        help="Durable memory for coding agents.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for command in (
        agent_commands.install,
        agent_commands.uninstall,
        status,
        search,
        context,
        remember,
        observations,
    ):
        app.command()(command)
    app.command("hook", context_settings={"ignore_unknown_options": True})(agent_commands.hook)
    for name, help_text, commands in (
        ("config", "The client's settings.", {"show": config_show}),
        (
            "spool",
            "What waits for delivery.",
            {"status": agent_commands.spool_status, "flush": agent_commands.spool_flush},
        ),
        (
            "import",
            "Bring memories from elsewhere.",
            {"transcript": agent_commands.import_transcript, "local": local_import.import_local},
        ),
    ):
        group = typer.Typer(help=help_text, no_args_is_help=True)
        group.callback()(_group)
        for command_name, function in commands.items():
            group.command(command_name)(function)
        app.add_typer(group, name=name)
    return app


def _group() -> None:
    """Keep a group with one command a group."""


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - called by typer
    if wanted:
        sys.stdout.write(f"claude-mem {__version__}\n")
        raise typer.Exit


def _root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Durable memory for coding agents."""


def config_show(
    *,
    origin: Annotated[bool, typer.Option("--origin", help="Say where each value comes from.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Print the settings in effect; the key is masked."""
    with client_errors():
        resolved = settings.load_settings()
    masked = resolved.api_key._replace(value=settings.mask_secret(resolved.api_key.value))
    found = {
        settings.DATA_DIR_VARIABLE: settings.data_dir_setting(),
        settings.RUNTIME: resolved.runtime,
        settings.SERVER_URL: resolved.server_url,
        settings.SERVER_API_KEY: masked,
        settings.SERVER_PROJECT_ID: resolved.project_id,
    }

    def render(console: Console) -> None:
        for name, setting in found.items():
            where = f"  ({setting.origin})" if origin else ""
            console.print(f"{name}={setting.value}{where}", markup=False)

    plain = {name: setting._asdict() if origin else setting.value for name, setting in found.items()}
    emit(plain, as_json=as_json, render=render)


def status(*, server_url: options.ServerUrl = "", as_json: options.AsJson = False) -> None:
    """Say whether the server answers, takes the key, and what waits for it."""
    from claude_mem.client import errors  # noqa: PLC0415

    problem: errors.ClaudeMemApiError | None = None
    with client_errors(), options.client(server_url, "") as client:
        report: dict[str, Any] = {
            "serverUrl": client.server_url,
            "projectId": client.project_id,
            "reachable": False,
            "ready": False,
            "authenticated": False,
        }
        try:
            report["ready"] = client.ready().ready
            report["reachable"] = True
            client.connect()
            report["authenticated"] = True
        except errors.ClaudeMemApiError as error:
            problem = error
    report["spool"] = options.spool_report()

    def render(console: Console) -> None:
        console.print(f"server         {report['serverUrl']}", markup=False)
        console.print(f"project        {report['projectId'] or '(none set)'}", markup=False)
        for name in ("reachable", "ready", "authenticated"):
            console.print(f"{name:<14} {'yes' if report[name] else 'no'}")
        console.print(f"waiting        {report['spool']['entries']}")

    emit(report, as_json=as_json, render=render)
    if problem is not None:
        with client_errors():
            raise problem
    if not report["ready"]:
        fail(
            "the server is up but takes no work yet", hint="try again in a moment", code=ExitCode.UNAVAILABLE
        )


def search(
    *,
    query: Annotated[str, typer.Argument(help="Words to look for.")],
    limit: options.Limit = 20,
    server_url: options.ServerUrl = "",
    project_id: options.ProjectId = "",
    as_json: options.AsJson = False,
) -> None:
    """Search the project's memories, best first."""
    with client_errors(), options.client(server_url, project_id) as client:
        found = client.search(query, limit=limit)
    emit(
        {"observations": [observation.to_wire() for observation in found.observations]},
        as_json=as_json,
        render=lambda console: _render_observations(console, found.observations),
    )


def context(
    *,
    query: Annotated[str, typer.Argument(help="What the context is for.")],
    limit: Annotated[int, typer.Option("--limit", min=1, max=50, help="Most memories to use.")] = 10,
    max_tokens: Annotated[
        int, typer.Option("--max-tokens", min=0, help="Budget of the text; 0 is none.")
    ] = 0,
    server_url: options.ServerUrl = "",
    project_id: options.ProjectId = "",
    as_json: options.AsJson = False,
) -> None:
    """Print the memories that matter for a query as one text."""
    with client_errors(), options.client(server_url, project_id) as client:
        found = client.context(query, limit=limit, max_tokens=max_tokens or None)
    emit(found.to_wire(), as_json=as_json, render=lambda console: console.print(found.context, markup=False))


def remember(
    *,
    text: Annotated[str, typer.Argument(help="What to remember; - reads it from stdin.")],
    kind: Annotated[str, typer.Option("--kind", help="Kind of memory.")] = "manual",
    server_url: options.ServerUrl = "",
    project_id: options.ProjectId = "",
    as_json: options.AsJson = False,
) -> None:
    """Write a memory by hand and print its id."""
    content = sys.stdin.read() if text == "-" else text
    with client_errors(), options.client(server_url, project_id) as client:
        memory = client.add_memory(content, kind=kind)
    emit(
        {"memory": memory.to_wire()},
        as_json=as_json,
        render=lambda console: console.print(memory.id, markup=False),
    )


def observations(
    *,
    limit: options.Limit = 20,
    server_url: options.ServerUrl = "",
    project_id: options.ProjectId = "",
    as_json: options.AsJson = False,
) -> None:
    """List the project's newest memories."""
    with client_errors(), options.client(server_url, project_id) as client:
        page = client.list_memories(limit=limit)
    emit(
        {"memories": [memory.to_wire() for memory in page.memories], "nextCursor": page.next_cursor},
        as_json=as_json,
        render=lambda console: _render_observations(console, page.memories),
    )


def _render_observations(console: Console, found: list[Observation]) -> None:
    if not found:
        note("nothing found")
        return
    table = Table("when", "kind", "content", box=None, pad_edge=False, expand=console.is_terminal)
    for observation in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime((observation.created_at_epoch or 0) / 1000))
        table.add_row(when, escape(observation.kind), escape(observation.content.strip()))
    console.print(table)
