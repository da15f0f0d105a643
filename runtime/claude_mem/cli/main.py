"""The `claude-mem` command: which application handles the arguments.

`claude-mem hook` runs at every step of a coding agent, and `claude-mem server worker health` every few seconds, so
they are dispatched before anything else is imported. The server's commands come from `server_app`, which needs the
`server` extra; it is imported only when one of them is wanted, and where it cannot be, `claude-mem server` says what to
install. This module's top level imports nothing that takes time.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

_HELP = ("--help", "-h")
#: Set by the shell when it asks for completions.
_COMPLETION_VARIABLE = "_CLAUDE_MEM_COMPLETE"


def main() -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"] and not any(argument in _HELP for argument in arguments):
        from claude_mem.client import hook  # noqa: PLC0415 - see the module's docstring

        return hook.run(arguments[1:])
    if arguments[:3] == ["server", "worker", "health"] and set(arguments[3:]) <= {"--json"}:
        from claude_mem.cli import worker_health  # noqa: PLC0415 - see the module's docstring

        return worker_health.run(as_json="--json" in arguments)
    application(with_server=arguments[:1] == ["server"] or _COMPLETION_VARIABLE in os.environ)()
    return 0


def application(*, with_server: bool = True) -> typer.Typer:
    """The typer application; without `with_server` the server's commands are only named in the help."""
    from claude_mem.cli import client_commands  # noqa: PLC0415

    app = client_commands.application()
    missing: str | None = "claude_mem.cli.server_app"
    if with_server:
        try:
            app.add_typer(import_module("claude_mem.cli.server_app").app, name="server")
        except ModuleNotFoundError as error:
            missing = error.name
        else:
            return app

    def server() -> None:
        from claude_mem.cli.output import fail  # noqa: PLC0415

        fail(
            f"the server is not part of this installation (Python cannot import {missing})",
            hint="in a checkout of claude-mem: pip install '.[server]', or hack/setup run",
        )

    app.command(
        "server",
        help="Run and manage the server and its workers (needs the 'server' extra).",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )(server)
    return app
