"""The hook command's own log: the one place where it may complain, because its agent must not be bothered.

Two files of bounded size, `<data dir>/logs/hook.log` and its predecessor. Standard library only, and
without `logging`, whose import would cost each hook more than the message.
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from claude_mem.client.files import PRIVATE_DIRECTORY_MODE, PRIVATE_MODE

if TYPE_CHECKING:
    from pathlib import Path

#: Bytes at which the log is set aside; the one set aside before is given up.
LOG_BYTES = 512 * 1024


class HookLog:
    """Appends lines to a log file; a log that cannot be written is not worth failing for."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / "logs" / "hook.log"

    def write(self, message: str) -> None:
        """Append one line with the time and the process id."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        line = f"{when} [{os.getpid()}] {' '.join(message.split())}\n"
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
            self._rotate()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE_MODE)
            try:
                os.write(descriptor, line.encode("utf-8", "replace"))
            finally:
                os.close(descriptor)

    def _rotate(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self.path.stat().st_size >= LOG_BYTES:
                self.path.replace(self.path.with_name("hook.log.1"))
