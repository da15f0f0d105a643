"""The scripts of hack/cluster as the tests call them.

What a machine lacks is told as UnavailableError, with the script's reason; `make test-cluster` sets everything up.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
SCRIPTS = ROOT / "hack" / "cluster"

#: The exit status, sysexits' "unavailable", with which a script says that this machine lacks something.
UNAVAILABLE = 69

# Taken when this module is imported: a test's environment has another home, and the cache would be looked for there.
ENVIRONMENT = dict(os.environ)


class UnavailableError(AssertionError):
    """Raised when this machine cannot run a cluster; the message says what is missing."""


class ScriptError(AssertionError):
    """Raised when a script failed; the message has its output."""


def script(name: str, *arguments: str, timeout: float = 240) -> str:
    """Run a script of hack/cluster and return its standard output; ``timeout`` is in seconds.

    Raises: UnavailableError, ScriptError.
    """
    command = [str(SCRIPTS / name), *arguments]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode == UNAVAILABLE:
        raise UnavailableError(f"{done.stderr.strip()}\n'make test-cluster' sets everything up")
    if done.returncode != 0:
        raise ScriptError(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def programs(purpose: str) -> Path:
    """The directory with the programs for a purpose, ``control-plane`` or ``client``.

    Raises: UnavailableError where they are not built yet.
    """
    return Path(script("programs", purpose, "--present").strip())
