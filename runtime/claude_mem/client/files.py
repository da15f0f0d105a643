"""Reading and replacing small JSON files without ever leaving a half-written one.

Used for this client's settings and for the coding agent's own configuration, so both get the same guarantees:
the new content is on disk before it replaces the old, and the mode of a file that may hold a secret never
widens. What the files mean is left to the callers. Standard library only, because the hook command imports
it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: Owner may read and write; nobody else may do anything.
PRIVATE_MODE = 0o600
#: Owner may list and enter; nobody else may do anything.
PRIVATE_DIRECTORY_MODE = 0o700


class MalformedFileError(Exception):
    """Raised when a file that should hold one JSON object holds something else."""


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; a missing or empty file is an empty object.

    Raises:
        MalformedFileError: the file cannot be read as UTF-8 JSON, or its top level is not an object.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise MalformedFileError(f"{path} cannot be read ({error}). Fix or remove the file.") from error
    if not text.strip():
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedFileError(f"{path} is not valid JSON ({error}). Fix or remove the file.") from error
    if not isinstance(content, dict):
        raise MalformedFileError(f"{path} must hold a JSON object. Fix or remove the file.")
    return content


def write_json_object(path: Path, content: dict[str, Any], *, mode: int = PRIVATE_MODE) -> None:
    """Replace `path` with `content` atomically, creating missing parent directories.

    A symbolic link is followed, so that a dotfile repository keeps its link; the indentation stays as
    it was. `mode` is the permission bits of the result. A crash leaves either the old file or the new one.
    """
    target = path.resolve()
    target.parent.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
    indent, end = _layout(target)
    text = json.dumps(content, indent=indent, ensure_ascii=False) + end
    replace_file(target, text.encode("utf-8", "surrogatepass"), mode=mode)


def _layout(path: Path) -> tuple[str, str]:
    """The indentation and the end of the file that is there, so that other people's lines stay."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        text = ""
    first = re.search(r"^[{]\r?\n([ \t]+)", text)
    return (first[1] if first else "  "), ("" if text and not text.endswith("\n") else "\n")


def replace_file(target: Path, data: bytes, *, mode: int) -> None:
    """Write `data` beside `target`, flush it to disk, and rename it into place."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise
    sync_directory(target.parent)


def sync_directory(directory: Path) -> None:
    """Make the directory's newest entries survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
