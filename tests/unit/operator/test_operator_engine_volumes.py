"""Volumes that grow and that may not, against an API server in memory."""

from __future__ import annotations

from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import Forbidden
from claude_mem_operator.kube.port import ObjectRef
from tests.support.kube_engine import condition, converge
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import CLAIM, POSTGRES, REF, change, claim, events, status


def test_a_volume_grows_and_its_template_stays(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    template = api.objects[POSTGRES]["spec"]["volumeClaimTemplates"]
    change(api, postgres={"managed": {"storage": "20Gi"}})
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert api.objects[CLAIM]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert api.objects[POSTGRES]["spec"]["volumeClaimTemplates"] == template
    assert "VolumeGrown" in events(api)


def test_a_volume_that_cannot_grow_is_told_and_asked_for_once(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    asked = []

    def refuse(_verb: str, ref: ObjectRef) -> None:
        if ref == CLAIM:
            asked.append(ref)
            raise Forbidden("only dynamically provisioned claims can be resized")

    api.before_write = refuse
    change(api, postgres={"managed": {"storage": "20Gi"}})
    for _ in range(5):
        running.reconcile(REF)
    assert len(asked) == 1
    told = condition(status(api), "ConfigurationWarning")
    assert told["reason"] == "VolumeNotGrown"
