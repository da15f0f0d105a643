"""Real kind for tests, through pytest-kubernetes: a cluster of the run's own, or one that is up already.

What a cluster is made of and where it runs is hack/cluster's; tests run inside `hack/cluster/cluster exec`, which has the
programs on PATH and is where the clusters are reached. Nothing here touches a cluster that kind did not make.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

from pytest_kubernetes.options import ClusterOptions  # type: ignore[import-untyped]
from pytest_kubernetes.providers import select_provider_manager  # type: ignore[import-untyped]

from tests.support.kube.kubectl import Kubectl
from tests.support.kube.scripts import ROOT, ScriptError, UnavailableError, script

#: Names a cluster that is up and is to be used, and kept, instead of one of the run's own.
REUSE = "CLUSTER_REUSE"
#: Seconds that a cluster may take to start on a busy machine.
START_S = 600


class NotKindError(AssertionError):
    """Raised when a kubeconfig leads to a cluster that kind did not make: tests never touch another."""


class HelmError(AssertionError):
    """Raised when helm fails; the message has what it wrote."""


class KindCluster:
    """One kind cluster, from its creation until ``close()``; one that was up before stays.

    Parameters:
        directory: for the file with kind's configuration.

    Raises: UnavailableError where this machine, or this environment, has no kind; NotKindError.
    """

    def __init__(self, directory: Path) -> None:
        helm, kubectl = shutil.which("helm"), shutil.which("kubectl")
        if "CLUSTER_WITHIN" not in os.environ or not helm or not kubectl:
            raise UnavailableError("kind is not reached from here: run 'make test-cluster'")
        reused = os.environ.get(REUSE)
        # Not by the process's number: that may be another's whose run was cut short, and whose cluster is still there.
        self.name = reused or f"claude-mem-test-{secrets.token_hex(3)}"
        self.kubeconfig = Path(os.environ["KUBECONFIG"]).with_name(f"{self.name}.kubeconfig")
        if reused and not self.kubeconfig.exists():
            raise UnavailableError(f"{REUSE}: no such cluster: run 'hack/cluster/cluster --name {reused} up'")
        self._helm = helm
        self.kubectl = Kubectl(Path(kubectl), self.kubeconfig)
        configuration = directory / f"{self.name}.yaml"
        configuration.write_text(self.script("config"))
        self._manager: Any = select_provider_manager("kind")(self.name, str(configuration))
        try:
            self._manager.create(
                ClusterOptions(kubeconfig_path=self.kubeconfig, cluster_timeout=START_S),
                timeout=60,
                options=["--wait", "180s"],
            )
        except subprocess.CalledProcessError as error:
            raise ScriptError(f"kind could not make a cluster:\n{error.stderr.decode()}") from None
        require_kind(self.kubectl)
        try:
            self.script("furnish")
        except BaseException:
            self.close()
            raise

    def script(self, *arguments: str, timeout: float = START_S) -> str:
        """Run a verb of hack/cluster/cluster on this cluster; ``timeout`` is in seconds."""
        return script("cluster", "--name", self.name, *arguments, timeout=timeout)

    def load(self, *images: str) -> None:
        """Put images of this machine into the node; ``image=name`` gives one another name there."""
        self.script("load", *images)

    def helm(self, *arguments: str, timeout: float = START_S) -> str:
        """Run helm in the checkout and return its standard output; ``timeout`` is in seconds.

        Raises: HelmError.
        """
        done = subprocess.run(
            [self._helm, "--kubeconfig", str(self.kubeconfig), *arguments],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(f"helm {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def report(self) -> str:
        """What is unwell in the cluster, for a test that failed."""
        pods = self.kubectl("get", "pods", "--all-namespaces", "--output", "wide")
        events = self.kubectl("get", "events", "--all-namespaces", "--sort-by=.lastTimestamp")
        return "\n".join([pods, *events.splitlines()[-40:]])

    def close(self) -> None:
        """Delete the cluster, unless it was up before."""
        self._manager.delete()
        if REUSE not in os.environ:
            self.script("down")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def require_kind(kubectl: Kubectl) -> None:
    """Refuse a kubeconfig whose current context is not of kind.

    Raises: NotKindError.
    """
    context = kubectl("config", "current-context").strip()
    if not context.startswith("kind-"):
        raise NotKindError(f"the current context is {context!r}, not one of kind's: tests do not touch it")
