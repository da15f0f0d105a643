"""The operator on a local cluster: installed by Helm, a memory Ready, an observation generated, and how to reach it.

It runs inside `hack/cluster/cluster exec`, on the cluster that is up and has the images: `make cluster-demo`. All that is
special to it is a language model that invents its answers. The memory stays until it is deleted. With `--strict` it fails
where a step takes longer than it may on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from claude_mem.client import Client
from claude_mem.client.errors import ClaudeMemError
from tests.support.kube.kubectl import Kubectl
from tests.support.kube.language_model import URL, LanguageModel
from tests.support.kube.memory import Memory, sample
from tests.support.kube.release import LOCAL_RUNTIME, RESTRICTED, Release
from tests.support.processes import Process

ROOT = Path(__file__).parents[1]
NAMESPACE = "claude-mem-demo"
NAME = "team-memory"
HELM_SECONDS = 300
#: With its images in the node: from the resource to Ready, and from a change of a field to its child.
READY_LIMIT_S = 60.0
CHANGE_LIMIT_S = 5.0

console = Console()


class DemoError(Exception):
    """Raised when a step of the demo does not end as it should; the message says which and what was seen."""


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strict", action="store_true", help="fail where a step takes too long")
    strict = parser.parse_args().strict
    try:
        kubectl = Kubectl(Path(_program("kubectl")), Path(os.environ["KUBECONFIG"]))
        memory, ready_s = _bring_up(kubectl)
        change_s = _change(memory)
        with ExitStack() as stack:
            stack.callback(memory.close)
            _remember(memory, stack)
    except KeyError as error:
        console.print(f"[bold red]{error} is not set:[/] run 'make cluster-demo'")
        return 69
    except (DemoError, ClaudeMemError, AssertionError) as error:
        console.print("[bold red]The demo failed:[/]", Text(str(error)), highlight=False)
        return 1
    _tell(memory)
    in_time = _judge("Ready", ready_s, READY_LIMIT_S) & _judge(
        "a change at its child", change_s, CHANGE_LIMIT_S
    )
    return 0 if in_time or not strict else 1


def _judge(what: str, took_s: float, limit_s: float) -> bool:
    """Whether a step took less than its limit; tells it."""
    met = took_s < limit_s
    console.print(f"{'met' if met else 'MISSED'}: {what} in under {limit_s:.0f} s ({took_s:.1f} s)")
    return met


def _bring_up(kubectl: Kubectl) -> tuple[Memory, float]:
    """The memory, and in how many seconds it was Ready."""
    console.rule("[bold]claude-mem on Kubernetes")
    with console.status("Installing the operator …"):
        Release(_helm, kubectl)
    console.print("The operator is installed: two replicas, one of which acts.")
    labels = {"name": NAMESPACE, "labels": RESTRICTED}
    secret = {"metadata": {"name": "anthropic"}, "stringData": {"api-key": "not-a-real-key"}}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": labels})
    kubectl.apply({"apiVersion": "v1", "kind": "Secret", **secret}, namespace=NAMESPACE)
    with console.status("Starting a language model that invents its answers …"):
        LanguageModel(kubectl, NAMESPACE).start(image=LOCAL_RUNTIME)
    memory = Memory(kubectl, namespace=NAMESPACE, name=NAME)
    wanted = sample("minimal")
    wanted["spec"]["provider"]["baseUrl"] = URL
    began = time.monotonic()
    memory.create(wanted)
    with console.status("Waiting for the memory: PostgreSQL, Valkey, migration, servers, worker …"):
        memory.settle()
    ready_s = time.monotonic() - began
    console.print(f"ClaudeMemServer {NAMESPACE}/{NAME} was Ready after {ready_s:.0f} s.")
    return memory, ready_s


def _change(memory: Memory) -> float:
    """Change a field of the resource; in how many seconds it has reached its child."""
    name = "example.com/demo"
    memory.patch({"server": {"service": {"annotations": {name: "reached"}}}})
    took = memory.wait(lambda: name in (memory.service()["metadata"].get("annotations") or {}), what=name)
    console.print(f"A change of a field reached its child after {took:.1f} s.")
    return took


def _remember(memory: Memory, stack: ExitStack) -> None:
    """Send an event through the Service, and show the observation that became of it."""
    secret = memory.secret()
    forward = stack.enter_context(
        Process(_kubectl(memory, "port-forward", f"service/{NAME}-server", ":37877"))
    )
    port = forward.wait_for_line(r"Forwarding from 127\.0\.0\.1:(\d+)").group(1)
    client = stack.enter_context(Client(server_url=f"http://127.0.0.1:{port}", api_key=secret["api-key"]))
    payload = {"tool_name": "Edit", "tool_input": {"file_path": "retry.py"}, "tool_response": "add jitter"}
    receipt = client.record_event(
        event_type="tool_use", payload=payload, project_id=secret["project-id"], wait=True
    )
    found = client.event_observations(receipt.event.id).observations
    if not found:
        job = receipt.generation_job
        raise DemoError(f"no observation came of the event; its job: {job.status if job else 'none'}")
    console.print(
        Panel(Text(found[0].content), title="What it remembers of an edit of retry.py", title_align="left")
    )


def _tell(memory: Memory) -> None:
    console.print(Text(memory.kubectl("--namespace", NAMESPACE, "get", "cms,pods,hpa")), soft_wrap=True)
    console.rule()
    console.print(f"In the cluster:   {memory.get()['status']['endpoint']}")
    cluster = "hack/cluster/cluster"
    name = os.environ.get("CLUSTER_NAME", "")
    if name:
        cluster += f" --name {name}"
    secret = memory.get()["status"]["apiKeySecretName"]
    for title, command in {
        "From here:       ": f"{cluster} kubectl -n {NAMESPACE} port-forward service/{NAME}-server 37877",
        "  then:          ": f"{cluster} exec curl -s http://127.0.0.1:37877/v1/info",
        "The key:         ": f"{cluster} kubectl -n {NAMESPACE} get secret {secret} "
        "-o jsonpath='{.data.api-key}' | base64 -d",
        "The end of it:   ": "make cluster-down",
    }.items():
        console.print(title, command, soft_wrap=True, markup=False, highlight=False)


def _kubectl(memory: Memory, *arguments: str) -> list[str]:
    return [
        _program("kubectl"),
        *("--kubeconfig", str(memory.kubectl.kubeconfig)),
        *("--namespace", NAMESPACE, *arguments),
    ]


def _helm(*arguments: str) -> str:
    done = subprocess.run(
        [_program("helm"), *arguments],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=HELM_SECONDS,
    )
    if done.returncode:
        raise DemoError(f"helm {' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise DemoError(f"{name} is not on PATH: run 'make cluster-demo'")
    return found


if __name__ == "__main__":
    sys.exit(main())
