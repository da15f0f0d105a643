"""`claude-mem hook`: reads a coding agent's hook JSON, keeps what it says, and delivers what is kept.

It must never block or fail its agent: it ends within about two seconds, always with exit status 0, prints
nothing but the agent's documented hook output, and complains only in `<data dir>/logs/hook.log`. What it
learned is on disk before the network is touched, so neither a dead server nor a killed hook loses anything.
Private material is the server's to strip. Standard library only: this module is imported at every step of an
agent.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sys
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

from claude_mem.client import hook_context, hook_events, settings
from claude_mem.client.delivery import Delivery
from claude_mem.client.files import MalformedFileError, read_json_object
from claude_mem.client.hook_log import HookLog
from claude_mem.client.sender import Sender
from claude_mem.client.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import FrameType

#: Seconds for everything a hook does with the network.
BUDGET_SECONDS = 2.0
#: Seconds to wait for one answer.
REQUEST_SECONDS = 1.5
#: Seconds after which the process ends itself, whatever it is doing.
LAST_RESORT_SECONDS = 2.8
#: Bytes of hook JSON above which long texts in it are shortened, to stay below the server's 5 MB.
LARGE_INPUT = 3 * 1024 * 1024
#: Bytes of hook JSON that are read at all.
LARGEST_INPUT = 64 * 1024 * 1024
#: JSON escapes that may stand for what the server cannot store: NUL, and halves of surrogate pairs.
_DOUBTFUL = re.compile(rb"\\u(0000|[dD][89a-fA-F])")


class _Arguments(NamedTuple):
    """The command's arguments: the event's name, if given, and the project, if given."""

    event: str
    project_id: str


def run(arguments: Sequence[str]) -> int:
    """Handle one hook invocation on stdin and stdout, and return the exit status, which is 0."""
    deadline = time.monotonic() + BUDGET_SECONDS
    _end_in_time()
    # Whatever goes wrong, the agent must not notice; without a data directory there is not even a log.
    with contextlib.suppress(Exception):
        log = HookLog(settings.data_dir())
        try:
            _handle(_parse(arguments), log, deadline=deadline)
        except Exception as error:
            log.write(f"hook failed: {type(error).__name__}: {error}")
    # The interpreter takes the handler away on its way out; a signal that came after that would be a failure.
    signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _end_in_time() -> None:
    """Have the system end this process before an agent could lose patience."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        os._exit(0)

    signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, LAST_RESORT_SECONDS)


def _parse(arguments: Sequence[str]) -> _Arguments:
    event = project = ""
    rest = iter(arguments)
    for argument in rest:
        if argument == "--project-id":
            project = next(rest, "")
        elif argument.startswith("--project-id="):
            project = argument.partition("=")[2]
        elif not argument.startswith("-"):
            event = argument
    return _Arguments(event, project)


def _handle(arguments: _Arguments, log: HookLog, *, deadline: float) -> None:
    hook = _read(sys.stdin.buffer.read(LARGEST_INPUT))
    event = hook_events.event_name(arguments.event or str(hook.get("hook_event_name") or ""))
    data_dir = settings.data_dir()
    spool = Spool(data_dir)
    connection = _Connection.resolve(os.environ, log)
    project_id = arguments.project_id or connection.project_id
    operations = hook_events.operations(event, hook, project_id=project_id or None)
    kept = _keep(spool, operations, log=log)
    if not connection.server_url:
        return
    sender = Sender(
        connection.server_url, connection.api_key, deadline=deadline, request_seconds=REQUEST_SECONDS
    )
    try:
        if event == "sessionstart":
            _print_context(hook_context.find(sender, hook, project_id=project_id), sys.stdout)
        delivery = Delivery(sender, project_id=connection.project_id, log=log.write)
        if not kept:
            for operation in operations:
                delivery.send(operation)
        delivery.run(spool)
    finally:
        sender.close()
    if delivery.stopped is not None:
        log.write(f"{len(spool.entries())} operations wait for the server: {delivery.stopped}")


def _read(raw: bytes) -> dict[str, Any]:
    """The hook's JSON, made fit for storing.

    Raises:
        ValueError: it is not a JSON object.
    """
    hook = json.loads(raw, parse_constant=lambda _: None)
    if not isinstance(hook, dict):
        raise ValueError("the hook's input is not a JSON object")  # noqa: TRY004 - bad data, not a bad call
    if _DOUBTFUL.search(raw) or len(raw) > LARGE_INPUT:
        hook = hook_events.storable(hook, shorten=len(raw) > LARGE_INPUT)
    return dict(hook)


def _keep(spool: Spool, operations: Sequence[dict[str, Any]], *, log: HookLog) -> bool:
    """Put operations into the spool; False when that cannot be done."""
    if not operations:
        return True
    try:
        lost = spool.append(operations)
    except OSError as error:
        log.write(f"the spool cannot be written: {error}")
        return False
    if lost:
        log.write(f"the spool is full: dropped its {lost} oldest operations. Is the server reachable?")
    return True


def _print_context(text: str, out: TextIO) -> None:
    """Print Claude Code's documented output for giving a session its context."""
    if not text:
        return
    output = {"hookSpecificOutput": {"hookEventName": "SessionStart", "additionalContext": text}}
    try:
        out.write(json.dumps(output) + "\n")
        out.flush()
    except OSError:
        # Nobody reads any more; without this, Python would fail at exit when it flushes again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


class _Connection(NamedTuple):
    """Where and as whom to deliver; without a server URL, everything is kept and nothing sent."""

    server_url: str
    api_key: str
    project_id: str

    @classmethod
    def resolve(cls, environ: Mapping[str, str], log: HookLog) -> _Connection:
        """The settings that can be used; what cannot is logged, and what depends on it waits in the spool."""
        path = settings.settings_path(environ)
        try:
            stored = read_json_object(path)
            readable = True
        except MalformedFileError as error:
            log.write(str(error))
            stored, readable = {}, False
        try:
            resolved = settings.resolve_settings(environ, stored, path=path)
            settings.select_runtime(resolved.runtime.value)
            url = settings.checked_server_url(resolved.server_url.value)
        except settings.SettingsError as error:
            log.write(str(error))
            return cls("", "", "")
        if not readable and resolved.server_url.origin == "default":
            url = ""
        return cls(url, resolved.api_key.value, resolved.project_id.value)
