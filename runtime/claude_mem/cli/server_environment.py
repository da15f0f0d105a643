"""`claude-mem server check-env`: what the environment rules say of this environment, without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from claude_mem.cli.output import ExitCode, emit
from claude_mem.cli.server_context import AsJson, judge
from claude_mem.environment import Role

if TYPE_CHECKING:
    from rich.console import Console


def check_env(
    *,
    role: Annotated[Role, typer.Option("--role", help="Which process the environment is for.")] = Role.SERVER,
    container: Annotated[
        bool | None,
        typer.Option(
            "--container/--no-container", help="Judge as in a container, or not; default: look for the signs."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a server or a worker may start with this environment; 0 if so, 1 if not."""
    verdict = judge(role, container=container)

    def render(console: Console) -> None:
        console.print(verdict.render(), markup=False)
        for problem in verdict.warnings:
            console.print(f"  warning: {problem}", markup=False)
        place = "a container" if verdict.container else "a host"
        console.print(
            f"  as a {verdict.role} in {place}: {verdict.mode}, queue {verdict.queue_engine}", markup=False
        )

    emit(verdict.model_dump(mode="json"), as_json=as_json, render=render)
    if not verdict.ok:
        raise typer.Exit(ExitCode.FAILURE)
