"""kubectl on one cluster, as tests call it: an explicit kubeconfig, no shell, and failures with what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class KubectlError(AssertionError):
    """Raised when kubectl fails; ``stderr`` has the server's reason, ``stdout`` what was written before it."""

    def __init__(self, command: str, code: int, stderr: str, *, stdout: str = "") -> None:
        super().__init__(f"{command} ended with {code}: {stderr.strip()}")
        self.stderr, self.stdout = stderr, stdout


class Kubectl:
    """One kubectl program with one kubeconfig.

    Parameters:
        program: the kubectl to run.
        kubeconfig: the cluster and the user to be.
    """

    def __init__(self, program: Path, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self._program = program
        self._cache = kubeconfig.with_suffix(".cache")

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 120) -> str:
        """Run a command and return its standard output; ``timeout`` is in seconds.

        Raises: KubectlError.
        """
        command = [str(self._program), "--kubeconfig", str(self.kubeconfig), *arguments]
        done = subprocess.run(
            command,
            env={**os.environ, "KUBECACHEDIR": str(self._cache)},
            input=stdin or "",
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            command_line = f"kubectl {' '.join(arguments)}"
            raise KubectlError(command_line, done.returncode, done.stderr, stdout=done.stdout)
        return done.stdout

    def with_kubeconfig(self, kubeconfig: Path) -> Kubectl:
        """The same program with another kubeconfig: another user, or another cluster."""
        return Kubectl(self._program, kubeconfig)

    def json(self, *arguments: str) -> Any:
        """What a command answers in JSON."""
        return json.loads(self(*arguments, "--output", "json"))

    def apply(self, *manifests: Mapping[str, Any], namespace: str = "default") -> None:
        """Apply objects on the server's side; those that name no namespace go into ``namespace``."""
        whole = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
        self("--namespace", namespace, "apply", "--server-side", "--filename", "-", stdin=json.dumps(whole))

    def wait(self, what: str, condition: str, *, namespace: str = "default", timeout: int = 300) -> None:
        """Wait until an object such as ``pod/web`` meets a ``--for`` condition; ``timeout`` is in seconds."""
        self(
            *("--namespace", namespace, "wait", what, f"--for={condition}", f"--timeout={timeout}s"),
            timeout=timeout + 10,
        )

    def create_namespace(self, *, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace with a name of its own; ``labels`` such as those of PodSecurity."""
        metadata = {"generateName": f"{prefix}-", "labels": dict(labels or {})}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        created = self("create", "--filename", "-", "--output", "name", stdin=json.dumps(manifest))
        return created.strip().removeprefix("namespace/")
