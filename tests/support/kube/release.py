"""The operator as its charts install it, in the way that its documentation tells: Helm, from this checkout."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.kube.kubectl import Kubectl, KubectlError
from tests.support.kube.scripts import ROOT
from tests.support.processes import wait_until

DEFINITIONS = ROOT / "charts" / "claude-mem-operator-crds"
OPERATOR = ROOT / "charts" / "claude-mem-operator"
NAME = "claude-mem-operator"
NAMESPACE = "claude-mem-system"
#: Namespaces of the tests let only restricted pods in.
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

#: The images that `make images` makes, as `hack/cluster/cluster load` names them in the node.
LOCAL_RUNTIME = "claude-mem-runtime:local"
LOCAL_IMAGES = {"image": {"tag": "local"}, "workloads": {"images": {"runtime": {"tag": "local"}}}}

#: Calls of the API server that change something.
_WRITES = frozenset({"apply", "create", "delete", "patch", "scale"})


class Release:
    """The two charts, installed from its creation until ``uninstall()``.

    Parameters:
        helm: runs Helm on the cluster with the arguments given, and returns its standard output.
        values: of the operator's chart, beyond the local images.
    """

    def __init__(
        self, helm: Callable[..., str], kubectl: Kubectl, *, values: dict[str, Any] | None = None
    ) -> None:
        self.kubectl = kubectl
        self._helm = helm
        self._values: dict[str, Any] = LOCAL_IMAGES | (values or {})
        self._refused: list[dict[str, str]] = []
        self._complained: list[str] = []
        namespace = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": RESTRICTED},
        }
        kubectl.apply(namespace)
        helm("upgrade", "--install", f"{NAME}-crds", str(DEFINITIONS), "--namespace", NAMESPACE)
        kubectl.wait_until_served("claudememservers.claude-mem.dev")
        self._install({})

    def install(self, **values: Any) -> None:
        """Make what was installed as the chart says, with more `values`, and wait until the operator is ready."""
        self._keep_what_was_said()
        self._install(values)

    def _install(self, values: dict[str, Any]) -> None:
        given = self._values | values
        named: list[str] = given.get("watchNamespaces", [])
        self._looked_after = named[0] if named else NAMESPACE
        settings = [f"--set-json={name}={json.dumps(value)}" for name, value in given.items()]
        wait = ("--wait", "--timeout", "6m")
        self._helm("upgrade", "--install", NAME, str(OPERATOR), "--namespace", NAMESPACE, *wait, *settings)
        # Helm goes on when the new replicas are ready, and the old ones may not have been told to end yet.
        self.wait()

    def may(self, verb: str, kind: str, *, namespace: str) -> bool:
        """Whether its roles let the operator do something in a namespace."""
        account = f"system:serviceaccount:{NAMESPACE}:{NAME}"
        return self.kubectl.may(account, verb, kind, namespace=namespace)

    def scale(self, replicas: int) -> None:
        """Have so many replicas; they are not waited for."""
        self._keep_what_was_said()
        self.kubectl("--namespace", NAMESPACE, "scale", f"deployment/{NAME}", f"--replicas={replicas}")

    def kill(self, pod: str) -> None:
        """End a replica at once, as the loss of its node would."""
        self._keep_what_was_said()
        how = ("--grace-period=0", "--force", "--wait=false")
        self.kubectl("--namespace", NAMESPACE, "delete", "pod", pod, *how)

    def wait(self) -> None:
        """Wait until all replicas are ready, and the webhook is within reach: nodes learn of replicas a moment later."""
        self.kubectl(
            "--namespace", NAMESPACE, "rollout", "status", f"deployment/{NAME}", "--timeout=300s", timeout=310
        )
        wait_until(self._is_webhook_reached, what="the webhook to be reached", timeout=300)

    def _is_webhook_reached(self) -> bool:
        """Whether a good resource is not refused for want of an answer; nothing is stored."""
        try:
            self.kubectl(
                *("--namespace", self._looked_after, "apply", "--server-side", "--dry-run=server"),
                *("--filename", str(ROOT / "config" / "samples" / "minimal.yaml")),
            )
        except KubectlError as error:
            if "failed calling webhook" not in error.stderr:
                raise
            return False
        return True

    def test(self) -> str:
        """`helm test`: what the operator's own test says. Raises where it fails."""
        return self._helm("test", NAME, "--namespace", NAMESPACE)

    def uninstall(self) -> None:
        """Remove the operator, then the definitions' release; both may be gone."""
        self._keep_what_was_said()
        for name in (NAME, f"{NAME}-crds"):
            self._helm("uninstall", name, "--namespace", NAMESPACE, "--ignore-not-found", "--wait")

    def pods(self, *, ending: bool = False) -> list[dict[str, Any]]:
        """The operator's pods; those that are ending only where ``ending`` is set."""
        selector = "app.kubernetes.io/component=operator"
        found = self.kubectl.json("--namespace", NAMESPACE, "get", "pods", "--selector", selector)["items"]
        return [pod for pod in found if ending or not pod["metadata"].get("deletionTimestamp")]

    def leader(self) -> str:
        """The name of the pod that acts; empty where none does at this moment."""
        where = ("--namespace", NAMESPACE, "get", "lease", NAME, "--ignore-not-found")
        holder = self.kubectl(*where, "--output", "jsonpath={.spec.holderIdentity}")
        return holder.partition("_")[0]

    def writes(self, *, of_status: bool = True) -> float:
        """How many writes the replicas have made, but for their lease.

        Without `of_status` those of resources, which are of their status, and Events are left out.
        """
        left_out = ("leases",) if of_status else ("leases", "claudememservers", "events")
        return sum(
            value
            for labels, value in self._of_all("claude_mem_operator_api_requests_total")
            if labels["verb"] in _WRITES and not labels["kind"].startswith(left_out)
        )

    def reconciles(self) -> float:
        """How many reconciles the replicas have made."""
        return sum(value for _, value in self._of_all("claude_mem_operator_reconcile_total"))

    def refusals(self) -> list[dict[str, str]]:
        """What the API server did not let replicas do, by their roles; also those that this has ended."""
        return self._refused + self._refusals_now()

    def complaints(self) -> list[str]:
        """What replicas logged as errors, or not as JSON; also those that this has ended."""
        return self._complained + self._complaints_now()

    def _keep_what_was_said(self) -> None:
        """Of replicas that are about to end: with them go their counters and their logs."""
        self._refused += self._refusals_now()
        self._complained += self._complaints_now()

    def _refusals_now(self) -> list[dict[str, str]]:
        return [
            labels
            for labels, _ in self._of_all("claude_mem_operator_api_requests_total")
            if labels["outcome"] == "Forbidden"
        ]

    def _complaints_now(self) -> list[str]:
        return [
            line
            for pod in self.pods()
            for line in self.kubectl("--namespace", NAMESPACE, "logs", pod["metadata"]["name"]).splitlines()
            if _is_complaint(line)
        ]

    def _of_all(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        for pod in self.pods():
            yield from self._samples(pod["metadata"]["name"], name)

    def _samples(self, pod: str, name: str) -> Iterator[tuple[dict[str, str], float]]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}:8080/proxy/metrics"
        for family in text_string_to_metric_families(self.kubectl("get", "--raw", path)):
            for sample in family.samples:
                if sample.name == name:
                    yield sample.labels, sample.value


def _is_complaint(line: str) -> bool:
    try:
        return json.loads(line)["level"] in {"ERROR", "CRITICAL"}
    except (ValueError, TypeError, KeyError):
        return True
