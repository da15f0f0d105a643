"""`claude-mem server …`: which command is which function.

The commands themselves stand in the `server_*` modules, a noun each. Those that start a server or look at one import
the server only when they run, so that help and completion come at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from claude_mem.cli import (
    server_bootstrap,
    server_doctor,
    server_environment,
    server_foreground,
    server_jobs,
    server_keys,
    server_lifecycle,
    server_retention,
    server_schema,
    server_tenancy,
    server_transfer,
    server_usage,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Daemon = Annotated[
    bool, typer.Option("--daemon", help="The same as without it: one process, in the foreground.")
]

app = typer.Typer(help="Run and manage the server.")


@app.callback(invoke_without_command=True)
def server(ctx: typer.Context, *, daemon: Daemon = False) -> None:  # noqa: ARG001 - said for older scripts
    """Run the server in the foreground, or manage it with a command below."""
    if ctx.invoked_subcommand is None:
        server_foreground.run_server()


def worker(ctx: typer.Context, *, daemon: Daemon = False) -> None:  # noqa: ARG001 - said for older scripts
    """Work, as `worker start` does, where no command follows."""
    if ctx.invoked_subcommand is None:
        server_foreground.run_worker()


def worker_start(*, daemon: Daemon = False) -> None:  # noqa: ARG001 - said for older scripts
    """Work in the foreground until SIGTERM or SIGINT."""
    server_foreground.run_worker()


def _group(
    name: str,
    commands: dict[str, Callable[..., None]],
    *,
    text: str,
    callback: Callable[..., None] | None = None,
) -> None:
    """Add a group; with a callback it does something on its own too."""
    group = typer.Typer(help=text, no_args_is_help=callback is None)
    if callback is not None:
        group.callback(invoke_without_command=True)(callback)
    _add(group, commands)
    app.add_typer(group, name=name)


def _add(group: typer.Typer, commands: dict[str, Callable[..., Any]]) -> None:
    for name, function in commands.items():
        group.command(name)(function)


_add(
    app,
    {
        "start": server_lifecycle.start,
        "stop": server_lifecycle.stop,
        "restart": server_lifecycle.restart,
        "status": server_lifecycle.status,
        "logs": server_lifecycle.logs,
        "migrate": server_schema.migrate,
        "bootstrap": server_bootstrap.bootstrap,
        "check-env": server_environment.check_env,
        "doctor": server_doctor.doctor,
        "usage": server_usage.usage,
        "export": server_transfer.export,
        "import": server_transfer.import_file,
        "import-local": server_transfer.import_local,
    },
)
_group(
    "worker",
    {"start": worker_start, "run": worker_start, "health": server_foreground.worker_health},
    text="Turn events into observations, in the foreground, without listening anywhere.",
    callback=worker,
)
_group(
    "api-key",
    {
        "create": server_keys.create,
        "list": server_keys.list_keys,
        "revoke": server_keys.revoke,
        "rotate": server_keys.rotate,
        "migrate-scopes": server_keys.migrate_scopes,
    },
    text="Make, list and end API keys.",
)
_group(
    "keys",
    {"rotate": server_keys.rotate_own},
    text="List the keys that work, or rotate this user's own.",
    callback=server_keys.keys_callback,
)
_group(
    "jobs",
    {
        "list": server_jobs.list_jobs,
        "inspect": server_jobs.inspect,
        "status": server_jobs.status,
        "failed": server_jobs.failed,
        "retry": server_jobs.retry,
        "redrive": server_jobs.redrive,
        "cancel": server_jobs.cancel,
    },
    text="List and steer generation jobs.",
    callback=server_jobs.jobs_callback,
)
_group(
    "budget",
    {
        "list": server_usage.budget_list,
        "set": server_usage.budget_set,
        "remove": server_usage.budget_remove,
    },
    text="Bound what a team or a project may spend.",
)
_group(
    "team",
    {"create": server_tenancy.team_create, "list": server_tenancy.team_list},
    text="Make and list teams.",
)
_group(
    "project",
    {
        "create": server_tenancy.project_create,
        "list": server_tenancy.project_list,
        "rename": server_tenancy.project_rename,
        "set": server_tenancy.project_set,
    },
    text="Make, list, name and set up projects.",
)
_group(
    "retention",
    {
        "list": server_retention.list_rules,
        "add": server_retention.add,
        "remove": server_retention.remove,
        "run": server_retention.run_now,
    },
    text="Say what is forgotten with time.",
)
