"""Each of the four layers refuses what it should while the others are off, and a container refuses for itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from claude_mem_operator.kube.kinds import WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.cluster.conftest import Memories, Sample
from tests.support.kube.memory import Memory, sample
from tests.support.kube.release import NAME, Release
from tests.support.processes import wait_until

#: How an API server names the policy when it refuses.
POLICY = f"ValidatingAdmissionPolicy '{NAME}'"
LOCAL_DEV = {"name": "CLAUDE_MEM_AUTH_MODE", "value": "local-dev"}
#: What the policy's CEL cannot know and the runtime's rules do.
SLOW_HEARTBEAT = {"name": "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS", "value": "600"}
UPSIDE_DOWN = {"worker": {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}}}
#: Seconds in which API servers learn of a changed configuration.
LEARNT_S = 300


def spec(*env: dict[str, str], **more: Any) -> Manifest:
    """The sample's, with these variables for the server."""
    return {**sample("minimal")["spec"], "server": {"env": list(env)}, **more}


class Admission:
    """The two layers that the operator's chart installs."""

    def __init__(self, release: Release, memory: Memory) -> None:
        self._release, self._memory = release, memory

    def remove_policy(self) -> None:
        """Unbind the policy and wait until it is not asked any more."""
        self._release.kubectl("delete", "validatingadmissionpolicybinding", NAME)
        wait_until(lambda: POLICY not in self._refusal(LOCAL_DEV), what="no policy", timeout=LEARNT_S)

    def remove_webhook(self) -> None:
        """Remove the webhook's configuration and wait until it is not asked any more."""
        self._memory.api.delete(ObjectRef(WEBHOOK_CONFIGURATION, None, NAME))
        wait_until(lambda: not self._refusal(SLOW_HEARTBEAT), what="no webhook", timeout=LEARNT_S)

    def _refusal(self, variable: dict[str, str]) -> str:
        return self._memory.refusal(spec(variable))


@pytest.fixture
def memory(shortest: Sample) -> Memory:
    return shortest.memory


@pytest.fixture
def admission(release: Release, memory: Memory) -> Iterator[Admission]:
    """What may be taken away, and is put back by the charts."""
    yield Admission(release, memory)
    release.install()
    # The configuration is a new one, without the authority's certificate until the operator writes it.
    wait_until(
        lambda: SLOW_HEARTBEAT["name"] in memory.refusal(spec(SLOW_HEARTBEAT)),
        what="the webhook",
        timeout=LEARNT_S,
    )
    wait_until(lambda: POLICY in memory.refusal(spec(LOCAL_DEV)), what="the policy", timeout=LEARNT_S)


def test_all_layers_together_refuse_local_development(memory: Memory) -> None:
    said = memory.refusal(spec(LOCAL_DEV))
    assert "local-dev is not allowed in Docker or any other container" in said
    assert memory.refusal(spec()) == ""


def test_the_webhook_refuses_without_the_policy(memory: Memory, admission: Admission) -> None:
    admission.remove_policy()
    said = memory.refusal(spec(LOCAL_DEV))
    assert "local-dev is not allowed in Docker or any other container" in said
    assert "spec.server.env[0].value" in said
    assert "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS" in memory.refusal(spec(SLOW_HEARTBEAT))


def test_the_policy_refuses_without_the_webhook(memory: Memory, admission: Admission) -> None:
    admission.remove_webhook()
    said = memory.refusal(spec(LOCAL_DEV))
    assert POLICY in said
    assert "spec.server.env" in said


def test_the_definition_and_the_engine_refuse_without_the_others(
    memories: Memories, memory: Memory, admission: Admission
) -> None:
    admission.remove_webhook()
    admission.remove_policy()
    assert "must not be more than maxReplicas" in memory.refusal(spec(**UPSIDE_DOWN))
    refused = memories.make("written-past")
    refused.create({**sample("minimal"), "spec": spec(LOCAL_DEV)})
    refused.wait(lambda: refused.condition("Ready").get("reason") == "InvalidSpec", what="InvalidSpec")
    assert "spec.server.env[0]" in refused.condition("Ready")["message"]
    assert refused.children() == {}
    refused.delete()


def test_what_nobody_refused_the_container_refuses_itself(memory: Memory) -> None:
    """S8, in a pod."""
    (server, *_) = memory.pods("server")
    (container,) = server["spec"]["containers"]
    bypass = {"name": "CLAUDE_MEM_ALLOW_LOCAL_DEV_BYPASS", "value": "1"}
    env = [one for one in container["env"] if one["name"] != LOCAL_DEV["name"]]
    shown = ("image", "command", "securityContext", "volumeMounts")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "local-dev"},
        "spec": {
            **{name: server["spec"][name] for name in ("securityContext", "volumes")},
            "automountServiceAccountToken": False,
            "restartPolicy": "Never",
            "containers": [
                {name: container[name] for name in shown}
                | {"name": "server", "env": [*env, LOCAL_DEV, bypass]}
            ],
        },
    }
    memory.kubectl.apply(pod, namespace=memory.namespace)
    memory.kubectl.wait("pod/local-dev", "jsonpath={.status.phase}=Failed", namespace=memory.namespace)
    said = memory.kubectl("--namespace", memory.namespace, "logs", "local-dev")
    assert "local-dev is not allowed in Docker" in said


def test_metadata_and_status_pass_while_the_webhook_answers_nobody(release: Release, memory: Memory) -> None:
    """It fails closed for a change of the spec, and holds up nothing else."""
    release.scale(0)
    try:
        wait_until(
            lambda: "failed calling webhook" in memory.refusal(spec()), what="nobody", timeout=LEARNT_S
        )
        memory.kubectl("--namespace", memory.namespace, "label", "cms", memory.name, "example.com/a=b")
        memory.api.patch_status(memory.ref, {"phase": "Degraded"})
        memory.kubectl("--namespace", memory.namespace, "label", "cms", memory.name, "example.com/a-")
    finally:
        release.scale(2)
        release.wait()
    memory.wait(lambda: memory.get()["status"]["phase"] == "Ready", what="its status, put right")
