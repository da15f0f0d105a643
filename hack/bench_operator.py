"""Measures the operator with many resources on a real API server whose nodes run nothing.

Three figures are held to their limits: every child of every resource is there, the operator's memory stays below
300 MiB, and while nothing happens nothing is written for ten minutes. Resources are as a user writes them, every
second one with the autoscaler that is the default. Pods are pretended to become ready, so resources get through all
stages. Writes are counted twice: by the operator, of children, and by the versions of all objects on the server. Not
counted is what changes by itself: the Lease, and the autoscalers' view of metrics that nobody serves here, with the
status of their resources that tells of it. How long a change of a field takes to
reach its child, and a deleted child to come back, is held to five seconds with `--strict` only: it is the machine's as
much as the operator's.
"""

from __future__ import annotations

import argparse
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from claude_mem_operator.api import ClaudeMemServer
from claude_mem_operator.desired import Inputs, desired
from claude_mem_operator.desired.names import MANAGER
from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import (
    AUTOSCALER,
    CHILD_KINDS,
    CLAUDE_MEM_SERVER,
    OPTIONAL_KINDS,
    SERVICE,
)
from claude_mem_operator.kube.port import ObjectRef
from tests.support.claude_mem_servers import install_crd
from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_engine import DEFAULTS, provider_secret, resource
from tests.support.kube_kubelet import PretendedKubelet
from tests.support.kube_operator import Installation, OperatorProcess
from tests.support.processes import cpu_seconds, wait_until

REACTION_LIMIT_S = 5.0
MEMORY_LIMIT = 300 * 1024 * 1024
#: What every other resource says of its workers; the rest says nothing.
WORKERS: Final[tuple[dict[str, Any], ...]] = ({"autoscaling": {"enabled": False}}, {})
#: How long nothing may have been written before the idle time begins, in seconds.
QUIET_S = 15.0
#: Between two looks at what was written, in seconds.
LOOK_S = 1.0
NAMESPACES = 10

console = Console()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured; times in seconds, memory in bytes."""

    resources: int
    children: int
    wanted: int
    ready_s: float
    change_s: float
    repair_s: float
    memory: int
    idle_s: float
    idle_writes: int
    changed: int
    cpu_share: float

    @property
    def verdicts(self) -> dict[str, bool]:
        """Each demand, and whether it is met."""
        return {
            "every child is there": self.children == self.wanted,
            "memory below 300 MiB": self.memory < MEMORY_LIMIT,
            "no write while idle": self.idle_writes == 0 and self.changed == 0,
        }

    @property
    def timing_verdicts(self) -> dict[str, bool]:
        """Those that depend on the machine as well, for one that does nothing else."""
        return {
            f"a change reaches its child in under {REACTION_LIMIT_S:.0f} s": self.change_s < REACTION_LIMIT_S,
            f"a deleted child is back in under {REACTION_LIMIT_S:.0f} s": self.repair_s < REACTION_LIMIT_S,
        }


def workers_of(number: int) -> dict[str, Any]:
    """What the resource of this number says of its workers."""
    return WORKERS[number % len(WORKERS)]


def children_of(worker: dict[str, Any]) -> int:
    """How many children the builders make of a resource."""
    inputs = Inputs(
        resource=ClaudeMemServer.parse(resource(worker=worker)),
        defaults=DEFAULTS,
        new_secret=lambda kind: kind.value,
    )
    return sum(len(stage.manifests) for stage in desired(inputs))


def measure(*, resources: int, idle_s: float, patience_s: float = 900) -> Figures:
    """Run the whole measurement on a control plane of its own."""
    with ExitStack() as stack:
        plane = stack.enter_context(ControlPlane())
        api = DynamicApi(plane.client())
        install_crd(plane.kubectl)
        namespaces = [plane.create_namespace(prefix="bench") for _ in range(min(NAMESPACES, resources))]
        for namespace in namespaces:
            api.create(provider_secret(namespace))
        installation = Installation(plane, Helm())
        operator = stack.enter_context(installation.replica())
        operator.wait_until_ready()
        stack.enter_context(PretendedKubelet(DynamicApi(plane.client()), interval=1.0))
        began = time.monotonic()
        for number in range(resources):
            namespace = namespaces[number % len(namespaces)]
            api.create(resource(f"memory-{number}", namespace, worker=workers_of(number)))
        wait_until(lambda: _ready(api) == resources, what="all resources to be ready", timeout=patience_s)
        ready_s = time.monotonic() - began
        _wait_for_quiet(operator, api, patience_s)
        change_s, repair_s = _reactions(api, namespaces[0], patience_s)
        _wait_for_quiet(operator, api, patience_s)
        before, writes, used = _versions(api), operator.child_writes(), cpu_seconds(operator.process.pid)
        time.sleep(idle_s)
        after = _versions(api)
        return Figures(
            resources=resources,
            children=len(after) - resources,
            wanted=sum(children_of(workers_of(number)) for number in range(resources)),
            ready_s=ready_s,
            change_s=change_s,
            repair_s=repair_s,
            memory=operator.resident_bytes(),
            idle_s=idle_s,
            idle_writes=operator.child_writes() - writes,
            changed=len(_steady(before) ^ _steady(after)),
            cpu_share=(cpu_seconds(operator.process.pid) - used) / idle_s,
        )


def _reactions(api: DynamicApi, namespace: str, patience_s: float) -> tuple[float, float]:
    """Seconds from a change of a field to its child, and from a child's deletion to its return; the slower of two each."""
    ref = ObjectRef(CLAUDE_MEM_SERVER, namespace, "memory-0")
    service = ObjectRef(SERVICE, namespace, "memory-0-server")
    changes, repairs = [], []
    for value in ("1", "2"):
        began = time.monotonic()
        api.patch(ref, {"spec": {"server": {"service": {"annotations": {"example.com/bench": value}}}}})
        wait_until(
            lambda seen=value: _annotation(api, service) == seen,  # type: ignore[misc]
            what="the change",
            timeout=patience_s,
        )
        changes.append(time.monotonic() - began)
        began = time.monotonic()
        api.delete(service)
        wait_until(lambda: api.get(service), what="the deleted child", timeout=patience_s)
        repairs.append(time.monotonic() - began)
    return max(changes), max(repairs)


def _annotation(api: DynamicApi, ref: ObjectRef) -> str | None:
    found = api.get(ref)
    annotations = (found or {"metadata": {}})["metadata"].get("annotations") or {}
    value: str | None = annotations.get("example.com/bench")
    return value


def _ready(api: DynamicApi) -> int:
    return sum(one.get("status", {}).get("phase") == "Ready" for one in api.list(CLAUDE_MEM_SERVER))


def _versions(api: DynamicApi) -> dict[ObjectRef, str]:
    """The versions of all resources and of all their children."""
    found = {}
    for kind in (CLAUDE_MEM_SERVER, *(kind for kind in CHILD_KINDS if kind not in OPTIONAL_KINDS)):
        labels = {} if kind == CLAUDE_MEM_SERVER else {"app.kubernetes.io/managed-by": MANAGER}
        for live in api.list(kind, None, labels):
            metadata = live["metadata"]
            found[ObjectRef(kind, metadata["namespace"], metadata["name"])] = metadata["resourceVersion"]
    return found


def _steady(versions: dict[ObjectRef, str]) -> set[tuple[ObjectRef, str]]:
    """Without the autoscalers, and the resources whose status tells of one."""
    scalers = [ref for ref in versions if ref.kind == AUTOSCALER]
    owners = {
        ObjectRef(CLAUDE_MEM_SERVER, ref.namespace, ref.name.removesuffix("-worker")) for ref in scalers
    }
    return {(ref, version) for ref, version in versions.items() if ref not in owners.union(scalers)}


def _wait_for_quiet(operator: OperatorProcess, api: DynamicApi, patience_s: float) -> None:
    """Wait until for `QUIET_S` nothing was written, neither by the operator nor by Kubernetes' controllers."""
    last = [_written(operator, api)]
    since = [time.monotonic()]

    def quiet() -> bool:
        time.sleep(LOOK_S)
        now = _written(operator, api)
        if now != last[0]:
            last[0], since[0] = now, time.monotonic()
        return time.monotonic() - since[0] > QUIET_S

    wait_until(quiet, what="the last write", timeout=patience_s)


def _written(operator: OperatorProcess, api: DynamicApi) -> tuple[int, set[tuple[ObjectRef, str]]]:
    return operator.child_writes(), _steady(_versions(api))


def show(figures: Figures) -> None:
    """Print the figures and the verdicts."""
    table = Table("what", "measured", title="The operator, with nodes that run nothing")
    table.add_row("resources", str(figures.resources))
    table.add_row("children", str(figures.children))
    table.add_row("from the first create to all ready", f"{figures.ready_s:.1f} s")
    table.add_row("from a change to its child", f"{figures.change_s:.2f} s")
    table.add_row("from a deletion to the child again", f"{figures.repair_s:.2f} s")
    table.add_row("memory", f"{figures.memory / 1024 / 1024:.0f} MiB")
    table.add_row(f"writes of children in {figures.idle_s:.0f} idle seconds", f"{figures.idle_writes}")
    table.add_row("objects changed meanwhile", str(figures.changed))
    table.add_row("processor meanwhile", f"{figures.cpu_share:.1%} of a core")
    console.print(table)
    for demand, met in (figures.verdicts | figures.timing_verdicts).items():
        console.print(f"{'met' if met else 'MISSED'}: {demand}")


def main() -> int:
    """Measure, print, and tell by the exit status whether every demand is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=100, help="how many resources")
    parser.add_argument("--idle", type=float, default=600, help="how long to watch idleness, in seconds")
    parser.add_argument("--strict", action="store_true", help="fail for what takes too long as well")
    options = parser.parse_args()
    figures = measure(resources=options.resources, idle_s=options.idle)
    show(figures)
    held_to = figures.verdicts | (figures.timing_verdicts if options.strict else {})
    return 0 if all(held_to.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
