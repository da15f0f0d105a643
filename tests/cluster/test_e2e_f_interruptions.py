"""Pods of every kind are killed while events come in, and the operator's own leader while a change does."""

from __future__ import annotations

import pytest

from tests.support.checklist import Keys
from tests.support.event_stream import Stream, check_all_observed_once
from tests.support.kube.language_model import LanguageModel
from tests.support.kube.memory import Memory
from tests.support.kube.release import Release
from tests.support.processes import wait_until

#: Seconds for the death of the acting replica to be noticed: its lease, of fifteen seconds, has to run out.
FAILOVER_S = 180.0


@pytest.mark.parametrize("component", ["server", "worker", "valkey", "postgres"])
def test_a_pod_killed_in_mid_stream_loses_nothing(
    memory: Memory, model: LanguageModel, keys: Keys, component: str
) -> None:
    model.steer(delay_ms=300)
    stream = Stream(memory.url, keys, f"killed-{component}")
    with stream.running():
        stream.more(10)
        memory.kill(component)
        stream.more(10)
    model.steer()
    check_all_observed_once(memory, keys, stream)
    memory.settle()


def test_another_replica_goes_on_when_the_acting_one_is_killed(memory: Memory, release: Release) -> None:
    leader = release.leader()
    release.kill(leader)
    wait_until(lambda: release.leader() not in {leader, ""}, what="another leader", timeout=FAILOVER_S)
    memory.patch({"server": {"service": {"annotations": {"example.com/led-by": "another"}}}})

    def is_there() -> bool:
        service = memory.service()
        return bool(service["metadata"].get("annotations", {}).get("example.com/led-by") == "another")

    memory.wait(is_there, what="the change, by another replica", timeout=FAILOVER_S)
    memory.patch({"server": {"service": {"annotations": {"example.com/led-by": None}}}})
    memory.settle()
    release.wait()
