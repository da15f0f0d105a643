"""Where the client's settings come from, which of several values wins, and how they are written back.

A setting is looked for, and the first non-empty value taken, in this order:

1. the environment, canonical name (`CLAUDE_MEM_SERVER_URL`);
2. the environment, legacy name (`CLAUDE_MEM_SERVER_BETA_URL`);
3. `<data dir>/settings.json`, canonical name: at the top level, then under `env`;
4. `<data dir>/settings.json`, legacy name: at the top level, then under `env`;
5. the built-in default, which therefore never hides a legacy value.

Values are trimmed; an empty value counts as unset. Writers use canonical names at the top level. The server's
own environment is none of this module's business. Standard library only, because the hook command imports it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from claude_mem.client.files import MalformedFileError, read_json_object, write_json_object

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_DIR_VARIABLE = "CLAUDE_MEM_DATA_DIR"
RUNTIME = "CLAUDE_MEM_RUNTIME"
SERVER_URL = "CLAUDE_MEM_SERVER_URL"
SERVER_API_KEY = "CLAUDE_MEM_SERVER_API_KEY"
SERVER_PROJECT_ID = "CLAUDE_MEM_SERVER_PROJECT_ID"
SERVER_PORT = "CLAUDE_MEM_SERVER_PORT"

#: Canonical name to the spelling that older installations wrote; it is read, never written.
LEGACY_KEYS = {
    SERVER_URL: "CLAUDE_MEM_SERVER_BETA_URL",
    SERVER_API_KEY: "CLAUDE_MEM_SERVER_BETA_API_KEY",
    SERVER_PROJECT_ID: "CLAUDE_MEM_SERVER_BETA_PROJECT_ID",
}
SETTING_KEYS = (RUNTIME, SERVER_URL, SERVER_API_KEY, SERVER_PROJECT_ID)
RUNTIME_NAMES = ("server", "server-beta")


class SettingsError(Exception):
    """Raised when a setting cannot be used; the message names it and says what to do."""


class Setting(NamedTuple):
    """One resolved value and where it was found (`"default"` and `"unset"` included)."""

    value: str
    origin: str


class Settings(NamedTuple):
    """The client's resolved settings. `api_key` and `project_id` are empty when unset."""

    data_dir: Path
    runtime: Setting
    server_url: Setting
    api_key: Setting
    project_id: Setting

    def __repr__(self) -> str:
        """Everything but the key, which never belongs in a log."""
        return (
            f"Settings(data_dir={str(self.data_dir)!r}, runtime={self.runtime!r}, "
            f"server_url={self.server_url!r}, api_key={mask_secret(self.api_key.value)!r}, "
            f"project_id={self.project_id!r})"
        )


def data_dir(environ: Mapping[str, str] | None = None) -> Path:
    """The directory of settings, spool and logs: `CLAUDE_MEM_DATA_DIR`, or `~/.claude-mem`."""
    return Path(data_dir_setting(environ).value)


def data_dir_setting(environ: Mapping[str, str] | None = None) -> Setting:
    """The data directory and where it was found."""
    environ = os.environ if environ is None else environ
    if configured := environ.get(DATA_DIR_VARIABLE, "").strip():
        return Setting(str(Path(configured).expanduser()), f"environment {DATA_DIR_VARIABLE}")
    return Setting(str(Path.home() / ".claude-mem"), "default")


def settings_path(environ: Mapping[str, str] | None = None) -> Path:
    """The client's settings file."""
    return data_dir(environ) / "settings.json"


def default_server_url(environ: Mapping[str, str] | None = None) -> str:
    """The user's own server: port `CLAUDE_MEM_SERVER_PORT`, or 37877 plus the uid modulo 100."""
    environ = os.environ if environ is None else environ
    configured = environ.get(SERVER_PORT, "").strip()
    if configured.isascii() and configured.isdigit() and 0 < int(configured) < 65536:
        return f"http://127.0.0.1:{int(configured)}"
    offset = os.getuid() % 100 if hasattr(os, "getuid") else 77
    return f"http://127.0.0.1:{37877 + offset}"


def select_runtime(
    value: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Literal["server"]:
    """Return `"server"` when that is the chosen runtime, and refuse every other choice.

    Parameters:
        value: the choice, compared trimmed and without regard to case; `None` takes it from the environment
            and the settings file. `server-beta` is the older name of `server`. Unset or empty means
            `server`, the only runtime there is.

    Raises:
        SettingsError: any other value; it is named, and nothing is used in its place.
    """
    if value is None:
        value = load_settings(environ).runtime.value
    name = value.strip().lower()
    if name and name not in RUNTIME_NAMES:
        raise SettingsError(
            f"{RUNTIME}={value.strip()!r} is not a runtime this client has: it talks to a server. "
            f"Set {RUNTIME} to 'server' (or 'server-beta'), or run: claude-mem install --runtime server"
        )
    return "server"


def load_settings(environ: Mapping[str, str] | None = None) -> Settings:
    """Resolve every setting in the order of this module's docstring.

    Raises:
        SettingsError: the settings file is malformed, or holds something other than text for a setting.
    """
    environ = os.environ if environ is None else environ
    path = settings_path(environ)
    try:
        stored = read_json_object(path)
    except MalformedFileError as error:
        raise SettingsError(str(error)) from error
    return resolve_settings(environ, stored, path=path)


def resolve_settings(environ: Mapping[str, str], stored: Mapping[str, Any], *, path: Path) -> Settings:
    """Resolve settings from an environment and the content of a settings file at `path`."""

    def resolve(key: str, default: str = "") -> Setting:
        names = (key, LEGACY_KEYS[key]) if key in LEGACY_KEYS else (key,)
        for name in names:
            if value := environ.get(name, "").strip():
                return Setting(value, f"environment {name}")
        nested = stored.get("env")
        for name in names:
            for place, source in (("", stored), ("env.", nested if isinstance(nested, dict) else {})):
                if value := _text(source.get(name), f"{place}{name}", path=path):
                    return Setting(value, f"{path} {place}{name}")
        return Setting(default, "default" if default else "unset")

    return Settings(
        data_dir=data_dir(environ),
        runtime=resolve(RUNTIME, "server"),
        server_url=resolve(SERVER_URL, default_server_url(environ)),
        api_key=resolve(SERVER_API_KEY),
        project_id=resolve(SERVER_PROJECT_ID),
    )


def _text(value: object, name: str, *, path: Path) -> str:
    """A stored value as trimmed text; numbers are what hand-written files often hold for ids."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise SettingsError(f"{name} in {path} must be text. Fix the file, or run: claude-mem install")


def checked_server_url(url: str) -> str:
    """`url` without trailing slashes.

    Raises:
        SettingsError: it is not an http or https URL with a host, or it carries credentials.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415 - keeps `config show` and the spool free of it

    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        plain = not (parts.username or parts.password or parts.query or parts.fragment)
    except ValueError:
        usable = plain = False
    if not usable or not plain or not url.isprintable() or " " in url:
        raise SettingsError(
            f"{SERVER_URL} is not a usable server address. Set it to something like http://127.0.0.1:37877"
        )
    return url.rstrip("/")


def write_settings(values: Mapping[str, str], *, environ: Mapping[str, str] | None = None) -> Path:
    """Store `values` under their canonical names, keeping everything else in the file, and return its path.

    The file gets mode 0600 and is replaced atomically. A value of the same name under `env` is removed, so
    that the file holds one answer.

    Raises:
        SettingsError: the existing file is malformed; it is left as it is.
    """
    path = settings_path(environ)
    try:
        stored = read_json_object(path)
    except MalformedFileError as error:
        raise SettingsError(str(error)) from error
    write_json_object(path, merged_settings(stored, values))
    return path


def merged_settings(stored: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, Any]:
    """The file content after writing `values` into `stored`."""
    unknown = set(values) - set(SETTING_KEYS)
    if unknown:
        raise ValueError(f"not canonical settings: {', '.join(sorted(unknown))}")
    merged = {**stored, **values}
    nested = stored.get("env")
    if isinstance(nested, dict):
        merged["env"] = {name: value for name, value in nested.items() if name not in values}
        if not merged["env"]:
            del merged["env"]
    return merged


def mask_secret(secret: str) -> str:
    """Enough of a secret to tell two apart, and too little to use."""
    if not secret:
        return ""
    return f"{secret[:5]}…" if len(secret) >= 16 else "…"
