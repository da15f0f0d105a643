"""Connecting a coding agent to a server, and taking the connection back.

A plan is made first, from the files as they are; printing it and carrying it out are separate, so a dry run
shows what would happen and nothing else. A second run of the same plan changes nothing. What is in the
agent's files is `claude_code`'s to know.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from claude_mem.client import claude_code, settings
from claude_mem.client.files import PRIVATE_MODE, read_json_object, write_json_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

AGENTS = ("claude-code",)
SCOPES = ("user", "project")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileChange:
    """One file: its content before and after (None when there is no file), and the mode it gets."""

    path: Path
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    mode: int = PRIVATE_MODE

    @property
    def changes_anything(self) -> bool:
        """Whether the file is not already as it should be."""
        if self.after is None or self.before is None:
            return self.before is not self.after
        return self.before != self.after or stat.S_IMODE(self.path.stat().st_mode) != self.mode

    def apply(self) -> None:
        """Write, or remove, the file."""
        if not self.changes_anything:
            return
        if self.after is None:
            self.path.unlink()
        else:
            write_json_object(self.path, self.after, mode=self.mode)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallRequest:
    """What to connect. Empty text leaves the setting as it is."""

    agent: str = "claude-code"
    scope: str = "user"
    runtime: str = "server"
    server_url: str = ""
    api_key: str = ""
    project_id: str = ""
    directory: Path = Path()


def plan_install(request: InstallRequest, *, environ: Mapping[str, str] | None = None) -> list[FileChange]:
    """The changes that connect the agent: the client's settings, the agent's hooks, and its MCP entry.

    In `project` scope the agent's files are meant to be shared: they name the project, and never hold the
    key.

    Raises:
        SettingsError: the runtime or the address cannot be used, or the settings file is malformed.
        MalformedFileError: one of the agent's files is malformed; no file is touched then.
    """
    environ = os.environ if environ is None else environ
    runtime = settings.select_runtime(request.runtime)
    present = settings.load_settings({settings.DATA_DIR_VARIABLE: str(settings.data_dir(environ))})
    url = settings.checked_server_url(request.server_url or _stored(present.server_url, environ))
    api_key = request.api_key or present.api_key.value
    values = {settings.RUNTIME: runtime, settings.SERVER_URL: url}
    if api_key:
        values[settings.SERVER_API_KEY] = api_key
    project_id = request.project_id or present.project_id.value
    shared = request.scope == "project"
    if project_id and not (shared and request.project_id and present.project_id.value):
        values[settings.SERVER_PROJECT_ID] = project_id
    paths = claude_code.files(request.scope, environ=environ, directory=request.directory)
    command = hook_command(shared_project_id=request.project_id if shared else None)
    path = settings.settings_path(environ)
    key_shown = claude_code.SHARED_KEY if shared and api_key else api_key
    return [
        _change(path, settings.merged_settings(read_json_object(path), values)),
        _change(
            paths.hooks,
            claude_code.with_hooks(read_json_object(paths.hooks), command=command),
            keep_mode=True,
        ),
        _change(
            paths.mcp,
            claude_code.with_mcp_server(read_json_object(paths.mcp), url=url, api_key=key_shown),
            keep_mode=shared,
        ),
    ]


def plan_uninstall(
    *,
    scope: str = "user",
    directory: Path = Path(),
    purge: bool = False,
    environ: Mapping[str, str] | None = None,
) -> list[FileChange]:
    """The changes that take our entries, and only ours, out of the agent's files.

    With `purge` the client's settings go too: our keys, and the file when nothing else is in it. Without it
    they stay, for the next `install`.

    Raises:
        MalformedFileError: a file is malformed; no file is touched then.
    """
    environ = os.environ if environ is None else environ
    paths = claude_code.files(scope, environ=environ, directory=directory)
    changes = []
    for path, clean in (
        (paths.hooks, claude_code.without_hooks),
        (paths.mcp, claude_code.without_mcp_server),
    ):
        if path.exists():
            content = read_json_object(path)
            cleaned = clean(content)
            if cleaned != content:
                changes.append(_change(path, cleaned or None, keep_mode=True))
    path = settings.settings_path(environ)
    if purge and path.exists():
        ours = {*settings.SETTING_KEYS, *settings.LEGACY_KEYS.values()}
        kept = {name: value for name, value in read_json_object(path).items() if name not in ours}
        changes.append(_change(path, kept or None))
    return changes


def apply_changes(changes: Sequence[FileChange]) -> list[Path]:
    """Carry out a plan and return the files that were changed."""
    changed = [change for change in changes if change.changes_anything]
    for change in changed:
        change.apply()
    return [change.path for change in changed]


def hook_command(*, shared_project_id: str | None = None) -> str:
    """The shell command that the agent runs for a hook.

    It names the running program by its full path: an agent's PATH is not the shell's, and may hold another
    program of this name. A command that is shared with others names the project instead, and leaves the path
    to each of them.
    """
    if shared_project_id is not None:
        words = ["claude-mem", "hook", *(["--project-id", shared_project_id] if shared_project_id else [])]
        return shlex.join(words)
    candidates = (Path(sys.argv[0]).absolute(), Path(sys.executable).with_name("claude-mem"))
    here = next((str(path) for path in candidates if path.name == "claude-mem" and path.is_file()), None)
    return shlex.join([here or shutil.which("claude-mem") or "claude-mem", "hook"])


def redacted(content: Any) -> Any:
    """`content` with keys masked, for showing a plan."""
    if isinstance(content, dict):
        return {name: _redacted_value(name, value) for name, value in content.items()}
    if isinstance(content, list):
        return [redacted(item) for item in content]
    return content


def _redacted_value(name: str, value: Any) -> Any:
    if isinstance(value, str) and name.endswith("_API_KEY"):
        return settings.mask_secret(value)
    if (
        isinstance(value, str)
        and name.lower() == "authorization"
        and value != f"Bearer {claude_code.SHARED_KEY}"
    ):
        return f"Bearer {settings.mask_secret(value.removeprefix('Bearer '))}"
    return redacted(value)


def _stored(server_url: settings.Setting, environ: Mapping[str, str]) -> str:
    """The address on file, or else the default one of this machine."""
    return settings.default_server_url(environ) if server_url.origin == "default" else server_url.value


def _change(path: Path, after: dict[str, Any] | None, *, keep_mode: bool = False) -> FileChange:
    exists = path.exists()
    mode = PRIVATE_MODE
    if keep_mode:
        mode = stat.S_IMODE(path.stat().st_mode) if exists else 0o644
    return FileChange(path=path, before=read_json_object(path) if exists else None, after=after, mode=mode)
