"""How every command talks: results on stdout, everything else on stderr, and one set of exit codes.

Colour and progress appear only on a terminal, and never with `NO_COLOR`. With `--json` stdout holds
exactly one JSON document, whose shape is stable. An error is one line that says what happened and why, and
one that says what to do next.
"""

from __future__ import annotations

import enum
import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ExitCode(enum.IntEnum):
    """What a command's exit status means; stable."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NOT_FOUND = 3
    AUTH = 4
    UNAVAILABLE = 5


def stdout() -> Console:
    """A console for results."""
    return Console(highlight=False, soft_wrap=True)


def stderr() -> Console:
    """A console for talk and progress."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def emit(result: Any, *, as_json: bool, render: Callable[[Console], None]) -> None:
    """Print a command's result: `result` as one JSON document, or what `render` writes for people."""
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    else:
        render(stdout())


def note(message: str) -> None:
    """Say something that is not a result."""
    stderr().print(message, markup=False)


def fail(message: str, *, hint: str = "", code: ExitCode = ExitCode.FAILURE) -> NoReturn:
    """Say what went wrong and what to do next, and end the command with `code`."""
    console = stderr()
    console.print("error:", style="bold red", end=" ")
    console.print(message, markup=False)
    if hint:
        console.print(f"next: {hint}", markup=False)
    raise typer.Exit(int(code))


@contextmanager
def client_errors() -> Iterator[None]:
    """Turn what the client's packages raise into `fail`."""
    from claude_mem.client import errors  # noqa: PLC0415 - the SDK's cost belongs to the commands that use it
    from claude_mem.client.files import MalformedFileError  # noqa: PLC0415
    from claude_mem.client.settings import SettingsError  # noqa: PLC0415

    try:
        yield
    except (errors.AuthenticationError, errors.PermissionDenied) as error:
        fail(str(error), hint="check the key: claude-mem config show", code=ExitCode.AUTH)
    except errors.NotFound as error:
        fail(str(error), code=ExitCode.NOT_FOUND)
    except errors.ServerUnavailable as error:
        fail(
            str(error),
            hint="is it running? see the address with: claude-mem config show",
            code=ExitCode.UNAVAILABLE,
        )
    except errors.RateLimited as error:
        wait = f"try again in {error.retry_after:g} s" if error.retry_after is not None else "try again later"
        fail(str(error), hint=wait, code=ExitCode.UNAVAILABLE)
    except (errors.ConfigurationError, SettingsError) as error:
        fail(str(error), code=ExitCode.USAGE)
    except (errors.ClaudeMemError, MalformedFileError) as error:
        fail(str(error))
