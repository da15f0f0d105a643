"""kubectl on one cluster, as tests call it: an explicit kubeconfig, no shell, and failures with what it wrote."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.processes import wait_until


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

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 240) -> str:
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

    def wait_until_served(self, *kinds: str) -> None:
        """Wait until kinds that were just defined, such as ``widgets.example.com``, can be asked for.

        That a definition is established is told before the API server's list of kinds has it; and to wait for that fails
        while it has no conditions yet.
        """
        for kind in kinds:
            wait_until(lambda asked=kind: self._serves(asked), what=f"{kind} to be served", timeout=300)  # type: ignore[misc]

    def _serves(self, kind: str) -> bool:
        try:
            self("get", kind, "--all-namespaces", "--output", "name")
        except KubectlError:
            return False
        return True

    def may(self, account: str, verb: str, kind: str, *, namespace: str) -> bool:
        """Whether a user, such as ``system:serviceaccount:NAMESPACE:NAME``, may do something in a namespace."""
        try:
            self("--namespace", namespace, "auth", "can-i", verb, kind, "--as", account)
        except KubectlError as error:
            if error.stdout.strip() != "no":
                raise
            return False
        return True

    def wait_until_may(self, account: str, verb: str, kind: str, *, namespace: str) -> None:
        """Wait until a role that was just granted counts: API servers learn of roles a moment after they are stored."""
        wait_until(
            lambda: self.may(account, verb, kind, namespace=namespace),
            what=f"{account} to be allowed to {verb} {kind} in {namespace}",
            timeout=300,
        )

    def create_namespace(self, *, prefix: str = "test", labels: Mapping[str, str] | None = None) -> str:
        """Create a namespace with a name of its own; ``labels`` such as those of PodSecurity.

        Its default ServiceAccount is there, without which no pod is let in.
        """
        metadata = {"generateName": f"{prefix}-", "labels": dict(labels or {})}
        manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}
        created = self("create", "--filename", "-", "--output", "name", stdin=json.dumps(manifest))
        name = created.strip().removeprefix("namespace/")
        account = ("--namespace", name, "get", "serviceaccount", "default", "--ignore-not-found")
        wait_until(lambda: self(*account), what=f"the default ServiceAccount of {name}", timeout=300)
        return name
