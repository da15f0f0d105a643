"""From nothing to a working memory: Helm, a sample as it is, and what its user sees."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from claude_mem_operator.kube.kinds import EVENT
from claude_mem_operator.kube.port import Manifest
from tests.cluster.conftest import Sample
from tests.support.kube.memory import PATIENCE_S, Memory
from tests.support.kube.release import Release
from tests.support.processes import wait_until


def lasting(memory: Memory, component: str | None = None) -> list[Manifest]:
    """Its pods, but for one of the migration that did not reach the database yet: the Job makes another."""
    return [pod for pod in memory.pods(component) if pod["status"].get("phase") != "Failed"]


def test_the_operator_says_that_it_refuses_what_it_should(release: Release) -> None:
    assert "Phase:          Succeeded" in release.test()


def test_two_replicas_are_ready_and_one_of_them_leads(release: Release) -> None:
    names = [pod["metadata"]["name"] for pod in release.pods()]
    assert len(names) == 2
    wait_until(lambda: release.leader() in names, what="a leader among them", timeout=PATIENCE_S)


def test_the_shortest_sample_gets_ready(
    shortest: Sample, record_property: Callable[[str, object], None]
) -> None:
    """With the images in the node it takes under a minute; the demo prints it, and no test depends on it."""
    record_property("seconds", shortest.ready_s)
    # Again, where a probe that a busy node does not get to in time takes one from the ready for a moment.
    shortest.memory.settle()


def test_no_container_was_restarted_on_the_way(shortest: Sample, release: Release) -> None:
    assert shortest.memory.restarts() == {}
    assert [
        status["restartCount"] for pod in release.pods() for status in pod["status"]["containerStatuses"]
    ] == [
        0,
        0,
    ]


def test_the_pods_run_in_a_namespace_that_lets_only_restricted_ones_in(shortest: Sample) -> None:
    # It enforces that; what each pod says of itself is looked at without a cluster.
    components = [
        pod["metadata"]["labels"]["app.kubernetes.io/component"] for pod in lasting(shortest.memory)
    ]
    assert sorted(components) == ["migration", "postgres", "server", "server", "valkey", "worker"]


def test_nothing_began_before_what_it_needs_was_there(shortest: Sample) -> None:
    """The order of the stages, by when their first containers started."""

    def started(component: str) -> datetime:
        states = [
            next(iter(status["state"].values()))
            for pod in lasting(shortest.memory, component)
            for status in pod["status"]["containerStatuses"]
        ]
        return min(datetime.fromisoformat(state["startedAt"]) for state in states)

    order = ["postgres", "valkey", "migration", "server", "worker"]
    times = [started(component) for component in order]
    assert times == sorted(times)


def test_what_kubectl_shows_is_the_state_in_one_line(shortest: Sample) -> None:
    memory = shortest.memory

    def table() -> list[str]:
        return memory.kubectl("--namespace", memory.namespace, "get", "cms", memory.name).splitlines()

    assert table()[0].split() == ["NAME", "READY", "PHASE", "SERVER", "WORKERS", "AGE"]
    # A probe that a busy node does not get to in time takes one from the ready for a moment.
    ready = ["team-memory", "True", "Ready", "2", "1"]
    memory.wait(lambda: table()[1].split()[:5] == ready, what=f"a line of {ready}")
    assert memory.name in memory.kubectl("--namespace", memory.namespace, "get", "all")


def test_the_way_there_is_told_by_events(shortest: Sample) -> None:
    memory = shortest.memory

    def events() -> list[Manifest]:
        found = memory.api.list(EVENT, memory.namespace)
        return [event for event in found if event["involvedObject"]["kind"] == "ClaudeMemServer"]

    # It is written after the status that it tells of.
    memory.wait(lambda: "Ready" in {event["reason"] for event in events()}, what="the event")
    assert {event["type"] for event in events()} == {"Normal"}


def test_fields_are_explained(shortest: Sample) -> None:
    told = shortest.memory.kubectl("explain", "claudememserver.spec.worker.autoscaling")
    assert "How the number of workers follows their load." in told
