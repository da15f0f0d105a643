"""Pausing, leading, races, status and log of a resource's runs, against an API server in memory."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import Conflict, NotLeading
from claude_mem_operator.kube.fenced import FencedApi
from claude_mem_operator.kube.kinds import DEPLOYMENT, EVENT, SERVICE_ACCOUNT
from claude_mem_operator.kube.port import Manifest, ObjectRef
from tests.support.kube_engine import NAMESPACE, condition, converge, engine, ref_to
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import (
    CLAIM,
    CREDENTIALS,
    REF,
    SERVER,
    WORKER,
    change,
    claim,
    refusing,
    status,
)


def test_paused_nothing_is_written_but_the_status_which_names_what_waits(
    api: MemoryApi, running: Engine
) -> None:
    change(api, paused=True, server={"replicas": 7})
    api.delete(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    api.writes.clear()
    running.reconcile(REF)
    assert {ref.kind.kind for _, ref in api.writes} <= {"ClaudeMemServer", "Event"}
    told = condition(status(api), "Paused")
    assert told["status"] == "True"
    assert "Deployment memory-server changed" in told["message"]
    assert "ServiceAccount memory to be created" in told["message"]
    assert status(api)["phase"] == "Paused"
    api.writes.clear()
    running.reconcile(REF)
    assert api.writes == []
    change(api, paused=False)
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert api.objects[SERVER]["spec"]["replicas"] == 7


def test_paused_beside_an_object_of_somebody_else_it_tells_of_both(api: MemoryApi, running: Engine) -> None:
    account = ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory")
    api.delete(account)
    metadata = {"name": account.name, "namespace": NAMESPACE}
    api.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})
    change(api, paused=True, server={"replicas": 7})
    assert running.reconcile(REF).result == "problem"
    assert condition(status(api), "Ready")["reason"] == "NameConflict"
    told = condition(status(api), "Paused")
    assert told["status"] == "True"
    assert "Deployment memory-server changed" in told["message"]
    assert status(api)["phase"] == "Paused"


def test_who_does_not_lead_writes_nothing(api: MemoryApi) -> None:
    api.writes.clear()
    with pytest.raises(NotLeading):
        engine(FencedApi(api, leading=lambda: False)).reconcile(REF)
    assert api.writes == []


@pytest.mark.parametrize("there", [True, False])
def test_a_run_waits_for_one_of_the_same_resource_that_is_still_under_way(
    api: MemoryApi, there: bool
) -> None:
    held, released = threading.Event(), threading.Event()
    calls: list[str] = []

    class Recording(MemoryApi):
        def get(self, ref: ObjectRef) -> Manifest | None:
            calls.append(threading.current_thread().name)
            if not held.is_set():
                held.set()
                assert released.wait(60)
            return super().get(ref)

    recording = Recording()
    recording.objects = api.objects
    running = engine(recording)
    ref = REF if there else ref_to("gone")
    first, second = (threading.Thread(target=running.reconcile, args=[ref], name=name) for name in "ab")
    first.start()
    assert held.wait(60)
    second.start()
    second.join(0.3)  # time to do what it must not
    released.set()
    for thread in (first, second):
        thread.join(60)
        assert not thread.is_alive()
    assert [name for name, _ in groupby(calls)] == ["a", "b"]


def test_a_lost_race_is_tried_again_soon_and_one_that_is_always_lost_later_and_later(
    api: MemoryApi, caplog: pytest.LogCaptureFixture
) -> None:
    running = engine(api)
    api.before_write = refusing(SERVICE_ACCOUNT, error=Conflict("a quota has changed"))
    outcomes = [running.reconcile(REF) for _ in range(16)]
    soon = [one for one in outcomes if not one.failed]
    assert 2 < len(soon) < 8
    assert {(one.result, one.requeue_s) for one in soon} == {("progressing", 0.5)}
    later = outcomes[len(soon) :]
    assert {one.result for one in later} == {"failed"}
    assert (later[0].requeue_s or 0) < 2
    assert (later[-1].requeue_s or 0) > 200
    assert "a quota has changed" in caplog.text
    api.before_write = lambda _verb, _ref: None
    assert converge(running, REF, settle=api.settle).result == "ready"
    change(api, log={"level": "DEBUG"})
    api.before_write = refusing(DEPLOYMENT, error=Conflict("again"))
    assert not running.reconcile(REF).failed, "the count begins anew"


def test_a_status_of_an_earlier_version_is_no_obstacle(api: MemoryApi, running: Engine) -> None:
    def spoil(live: Manifest) -> None:
        live["status"]["conditions"].append({"type": "Old", "status": "True", "reason": "Gone"})
        live["status"]["unheardOf"] = 1

    api.edit(REF, spoil)
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert "unheardOf" not in status(api)


def test_transitions_keep_their_time_and_are_told_once(api: MemoryApi, running: Engine) -> None:
    before = condition(status(api), "Degraded")["lastTransitionTime"]
    later = datetime.now(UTC) + timedelta(hours=1)
    again = engine(api, now=lambda: later)
    change(api, log={"level": "DEBUG"})
    converge(again, REF, settle=api.settle)
    told = [live for ref, live in api.objects.items() if ref.kind == EVENT and live["reason"] == "Ready"]
    assert len(told) == 1
    assert told[0]["count"] == 2
    assert condition(status(api), "Degraded")["lastTransitionTime"] == before


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged of writes since the last call."""
    told = [line for line in caplog.records if hasattr(line, "resource")]
    assert all((line.levelname, vars(line)["resource"]) == ("INFO", "team/memory") for line in told)
    caplog.clear()
    return [line.getMessage() for line in told]


def test_each_write_to_a_child_is_a_line_that_says_what_and_why_and_no_value(
    api: MemoryApi, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="claude_mem_operator")
    running = engine(api)
    api.writes.clear()
    converge(running, REF, settle=api.settle)
    made = [ref for verb, ref in api.writes if verb == "apply"]
    assert lines(caplog) == [f"{ref}: created" for ref in made]
    running.reconcile(REF)
    assert lines(caplog) == []

    secret = "".join(("hunter", "2"))
    api.edit(SERVER, lambda live: live["spec"].update(replicas=9))
    api.edit(WORKER, lambda live: live["spec"]["template"]["spec"]["containers"][0].update(image=secret))
    api.delete(ObjectRef(SERVICE_ACCOUNT, NAMESPACE, "memory"))
    running.reconcile(REF)
    assert lines(caplog) == [
        "ServiceAccount team/memory: created",
        "Deployment team/memory-server: edited: spec.replicas",
        "Deployment team/memory-worker: edited: spec.template.spec.containers[0].image",
    ]
    converge(running, REF, settle=api.settle)
    change(api, worker={"replicas": 3, "autoscaling": {"enabled": False}}, log={"level": "DEBUG"})
    converge(running, REF, settle=api.settle)
    told = lines(caplog)
    assert "HorizontalPodAutoscaler team/memory-worker: deleted: not asked for any more" in told
    assert "Deployment team/memory-worker: scaled from 1 to 3" in told
    assert "Deployment team/memory-server: changed" in told
    assert not [line for line in told if line.startswith("Deployment") and "edited" in line]

    api.create(claim("10Gi"))
    change(api, deletionPolicy="Delete", postgres={"managed": {"storage": "20Gi"}})
    converge(running, REF, settle=api.settle)
    assert f"{CLAIM}: to be grown" in lines(caplog)
    api.delete(REF)
    converge(running, REF)
    told = lines(caplog)
    assert told
    assert all(line.endswith("deleted: the resource was, with deletionPolicy Delete") for line in told)
    assert {str(CLAIM), str(CREDENTIALS)} <= {line.split(": ")[0] for line in told}
