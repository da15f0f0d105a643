"""The ``claude-mem`` command: which application handles the arguments.

``claude-mem hook`` runs at every step of a coding agent, so it is dispatched before anything else is
imported. The server's commands come from ``server_app``, which needs the ``server`` extra; without it,
``claude-mem server`` says what to install. This module's top level imports nothing that takes time.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

_HELP = ("--help", "-h")


def main() -> int:
    """Run the command line and return the exit status."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["hook"] and not any(argument in _HELP for argument in arguments):
        from claude_mem.client import hook  # noqa: PLC0415 - see the module's docstring

        return hook.run(arguments[1:])
    application(with_server=not arguments or arguments[0] not in _CLIENT_COMMANDS)()
    return 0


#: Commands that need nothing of the server, so that its packages are not imported for them.
_CLIENT_COMMANDS = frozenset(
    {
        "config",
        "context",
        "import",
        "install",
        "observations",
        "remember",
        "search",
        "spool",
        "status",
        "uninstall",
        "--version",
    }
)


def application(*, with_server: bool = True) -> typer.Typer:
    """The typer application; ``with_server`` adds the server's commands, or what says they are missing."""
    from claude_mem.cli import client_commands  # noqa: PLC0415

    app = client_commands.application()
    if with_server:
        _add_server(app)
    return app


def _add_server(app: typer.Typer) -> None:
    try:
        app.add_typer(import_module("claude_mem.cli.server_app").app, name="server")
    except ModuleNotFoundError as error:
        missing = error.name

        def server() -> None:
            from claude_mem.cli.output import fail  # noqa: PLC0415

            fail(
                f"the server is not part of this installation (Python cannot import {missing})",
                hint="pip install 'claude-mem[server]'",
            )

        app.command(
            "server",
            help="Run and manage the server (needs the 'server' extra).",
            context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        )(server)
