"""The operator as a process of its own, against the control plane of a test, with the rights that its chart grants."""

from __future__ import annotations

import json
import os
import re
import sys
import urllib.request
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from claude_mem_operator.kube.kinds import CLAUDE_MEM_SERVER, EVENT, LEASE
from tests.support.helm import OPERATOR, Helm, find
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_engine import DEFAULTS
from tests.support.ports import free_port
from tests.support.processes import Process, http_status

#: Seconds for a process to import everything on a busy machine.
START_S = 300.0
#: Seconds for its answer on a busy machine.
ANSWER_S = 60.0
#: Writes of the operator, as its metrics name them.
WRITES = frozenset({"apply", "create", "delete", "patch", "scale"})
_SAMPLE = re.compile(
    r'claude_mem_operator_api_requests_total\{kind="([^"]*)",outcome="([^"]*)",verb="([^"]*)"\} (\S+)'
)
#: What of the chart a process needs that is not in a pod.
_PREFIX = "CLAUDE_MEM_OPERATOR_"
_WEBHOOK = {"Secret", "ValidatingWebhookConfiguration"}
_RIGHTS = {"ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"}


class Installation:
    """The rights that the operator's chart grants, in a namespace of the operator's own.

    Parameters:
        namespaces: those that it looks after; all of them where there are none.
        webhook: whether the webhook's configuration and Secrets are installed, too.
        values: of the chart, beyond these.
        also: further kinds of the chart's objects that are installed; pods run nowhere.
        lacking: verbs, each with a kind's plural: rules that name both are granted without the verb.
    """

    def __init__(
        self,
        plane: ControlPlane,
        helm: Helm,
        *,
        namespaces: Sequence[str] = (),
        webhook: bool = False,
        values: Mapping[str, Any] | None = None,
        also: Iterable[str] = (),
        lacking: Collection[tuple[str, str]] = (),
    ) -> None:
        self.plane = plane
        self.namespace = plane.create_namespace(prefix="operator")
        self.namespaces = tuple(namespaces)
        given = {"watchNamespaces": list(namespaces), "webhook": {"enabled": webhook}} | dict(values or {})
        rendered = helm.render(OPERATOR, given, release=self.namespace, namespace=self.namespace)
        kinds = _RIGHTS.union(_WEBHOOK if webhook else (), also)
        self._manifests = [one for one in rendered if one["kind"] in kinds]
        for verb, kind in lacking:
            for rule in (rule for one in self._manifests for rule in one.get("rules", ())):
                if kind in rule.get("resources", ()):
                    rule["verbs"] = [other for other in rule["verbs"] if other != verb]
        for one in self._manifests:
            plane.kubectl.apply(one, namespace=one["metadata"].get("namespace", self.namespace))
        self._account = find(self._manifests, "ServiceAccount")["metadata"]["name"]
        deployment = find(rendered, "Deployment")["spec"]["template"]["spec"]["containers"][0]
        settings = {one["name"].removeprefix(_PREFIX): one.get("value", "") for one in deployment["env"]}
        self.lease, self.deployment = settings["LEASE_NAME"], settings["DEPLOYMENT"]
        self.webhook_settings = {
            name: value for name, value in settings.items() if name.startswith("WEBHOOK")
        }
        self.name: str = self.webhook_settings.get("WEBHOOK_CONFIGURATION", "")
        self.kubeconfig: Path = plane.service_account(self.namespace, self._account)
        self._wait_for_rights()

    def _wait_for_rights(self) -> None:
        """Wait until both roles count, in the namespaces that it looks after and in its own."""
        kubectl, account = self.plane.kubectl, f"system:serviceaccount:{self.namespace}:{self._account}"
        for namespace in self.namespaces or ("default",):
            kubectl.wait_until_may(account, "create", "services", namespace=namespace)
        kubectl.wait_until_may(account, "create", "leases.coordination.k8s.io", namespace=self.namespace)

    @contextmanager
    def replica(self, name: str = "replica", **settings: str) -> Iterator[OperatorProcess]:
        """A replica, until the block is left; `settings` without the variables' prefix."""
        defaults = {
            "NAMESPACES": ",".join(self.namespaces),
            "NAMESPACE": self.namespace,
            "LEASE_NAME": self.lease,
            "DEPLOYMENT": self.deployment,
            "POD_NAME": name,
            "WEBHOOK": "off",
            "RUNTIME_IMAGE": DEFAULTS.runtime_image,
            "POSTGRES_IMAGE": DEFAULTS.postgres_image,
            "VALKEY_IMAGE": DEFAULTS.valkey_image,
        }
        with OperatorProcess(self.kubeconfig, defaults | settings) as process:
            yield process

    def close(self) -> None:
        """Take the rights away, and the namespace."""
        for one in self._manifests:
            metadata = one["metadata"]
            within = ["--namespace", metadata["namespace"]] if "namespace" in metadata else []
            self.plane.kubectl(
                *within, "delete", one["kind"], metadata["name"], "--ignore-not-found", "--wait=false"
            )
        self.plane.delete_namespace(self.namespace)


class OperatorProcess:
    """One replica of the operator."""

    def __init__(self, kubeconfig: Path, settings: Mapping[str, str]) -> None:
        self._probes, self._metrics = free_port(), free_port()
        ports = {"LISTEN_PROBES": str(self._probes), "LISTEN_METRICS": str(self._metrics)}
        given = {_PREFIX + name: value for name, value in (ports | dict(settings)).items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLAUDE_MEM_")}
        self.process = Process(
            [sys.executable, "-m", "claude_mem_operator", "run"],
            env={**inherited, **given, "KUBECONFIG": str(kubeconfig)},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.close()

    def wait_until_ready(self) -> None:
        """Wait until it watches."""
        self.process.wait_for_http(f"http://127.0.0.1:{self._probes}/readyz", timeout=START_S)

    @property
    def is_well(self) -> bool:
        """What its liveness probe says."""
        return http_status(f"http://127.0.0.1:{self._probes}/healthz", timeout=ANSWER_S) == 200

    @property
    def metrics(self) -> str:
        """Its metrics, as text."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics}/metrics", timeout=ANSWER_S) as answer:
            return str(answer.read().decode())

    @property
    def leads(self) -> bool:
        """Whether it holds the lease."""
        return "claude_mem_operator_leader 1.0" in self.metrics

    def requests(self) -> list[tuple[str, str, str, float]]:
        """Calls of the API server so far: verb, kind, outcome, how many."""
        return [
            (verb, kind, outcome, float(count))
            for kind, outcome, verb, count in _SAMPLE.findall(self.metrics)
        ]

    def writes(self) -> int:
        """Writes so far, but for those of the lease."""
        return int(
            sum(
                count
                for verb, kind, _, count in self.requests()
                if verb in WRITES and not kind.startswith("leases")
            )
        )

    def child_writes(self) -> int:
        """Writes of children so far: neither of the resources themselves nor of Events."""
        others = {str(kind) for kind in (CLAUDE_MEM_SERVER, EVENT, LEASE)}
        return int(
            sum(count for verb, kind, _, count in self.requests() if verb in WRITES and kind not in others)
        )

    def forbidden(self) -> list[tuple[str, str]]:
        """Verbs and kinds that its rights did not cover."""
        return [(verb, kind) for verb, kind, outcome, _ in self.requests() if outcome == "Forbidden"]

    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"^VmRSS:\s+(\d+) kB$", text, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def log(self) -> list[dict[str, Any]]:
        """What it logged."""
        return [json.loads(line) for line in self.process.stderr.splitlines() if line.startswith("{")]
