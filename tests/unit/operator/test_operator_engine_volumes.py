"""Volumes that grow and that may not, against an API server in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from claude_mem_operator.engine.backoff import MOST_S
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.kube.errors import Forbidden
from claude_mem_operator.kube.port import ObjectRef
from tests.support.kube_engine import condition, converge, engine
from tests.support.kube_memory import MemoryApi
from tests.support.kube_running import CLAIM, POSTGRES, REF, change, claim, events, fail_jobs, status


def test_a_volume_grows_and_its_template_stays(api: MemoryApi, running: Engine) -> None:
    api.create(claim("10Gi"))
    template = api.objects[POSTGRES]["spec"]["volumeClaimTemplates"]
    change(api, postgres={"managed": {"storage": "20Gi"}})
    assert converge(running, REF, settle=api.settle).result == "ready"
    assert api.objects[CLAIM]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert api.objects[POSTGRES]["spec"]["volumeClaimTemplates"] == template
    assert "VolumeGrown" in events(api)


class Fixed:
    """A cluster that lets no claim grow, at a time that stands still until the test moves it; `asked` are the sizes."""

    def __init__(self, api: MemoryApi) -> None:
        self.asked: list[str] = []
        self.words = "only dynamically provisioned claims can be resized"
        self.time = datetime(2026, 1, 1, tzinfo=UTC)
        self.engine = engine(api, now=lambda: self.time)
        self._api = api
        api.create(claim("10Gi"))
        assert converge(self.engine, REF, settle=api.settle).result == "ready"
        api.before_write = self._refuse

    def _refuse(self, _verb: str, ref: ObjectRef) -> None:
        if ref == CLAIM:
            self.asked.append(self._api.objects[REF]["spec"]["postgres"]["managed"]["storage"])
            raise Forbidden(self.words)

    def ask(self, size: str) -> None:
        change(self._api, postgres={"managed": {"storage": size}})
        self.again()

    def again(self, *, after_s: float = 0.0) -> float:
        """Look again, and for how many seconds the resource is left alone then."""
        self.time += timedelta(seconds=after_s)
        outcome = self.engine.reconcile(REF)
        assert (outcome.result, outcome.failed) == ("ready", False)
        assert outcome.requeue_s is not None
        return outcome.requeue_s


@pytest.fixture
def fixed(api: MemoryApi) -> Fixed:
    return Fixed(api)


def test_a_volume_that_may_not_grow_is_told_and_asked_again_later_and_later(
    api: MemoryApi, fixed: Fixed
) -> None:
    fixed.ask("20Gi")
    told = condition(status(api), "ConfigurationWarning")
    assert told["reason"] == "VolumeNotGrown"
    assert f"{CLAIM.name} cannot grow from 10Gi to 20Gi: {fixed.words}" in told["message"]
    api.writes.clear()
    pause = 0.0
    for count in range(1, 15):
        pause = fixed.again()
        rest = fixed.again(after_s=pause / 2)
        assert len(fixed.asked) == count, "what happens in the pause is no reason to ask"
        fixed.again(after_s=rest)
        assert len(fixed.asked) == count + 1
    assert pause > 200
    assert api.writes == [], "the same refusal is no news"


def test_once_it_may_a_volume_grows_and_nothing_is_asked_any_more(api: MemoryApi, fixed: Fixed) -> None:
    fixed.ask("20Gi")
    api.before_write = lambda _verb, _ref: None
    fixed.time += timedelta(seconds=MOST_S)
    outcome = fixed.engine.reconcile(REF)
    assert (outcome.result, outcome.requeue_s) == ("ready", None)
    assert api.objects[CLAIM]["spec"]["resources"]["requests"]["storage"] == "20Gi"
    assert condition(status(api), "ConfigurationWarning")["status"] == "False"
    assert "VolumeGrown" in events(api)
    api.writes.clear()
    fixed.time += timedelta(seconds=MOST_S)
    assert fixed.engine.reconcile(REF).requeue_s is None
    assert api.writes == []


def test_another_size_and_another_volume_are_asked_for_at_once(api: MemoryApi, fixed: Fixed) -> None:
    fixed.ask("20Gi")
    fixed.ask("30Gi")
    assert fixed.asked == ["20Gi", "30Gi"]
    api.objects[CLAIM]["metadata"]["uid"] = "another"
    fixed.engine.reconcile(REF)
    assert fixed.asked == ["20Gi", "30Gi", "30Gi"]


def test_other_words_of_a_refusal_are_told(api: MemoryApi, fixed: Fixed) -> None:
    fixed.ask("20Gi")
    fixed.words = "the quota of storage is spent"
    fixed.again()
    assert fixed.words not in condition(status(api), "ConfigurationWarning")["message"]
    fixed.again(after_s=MOST_S)
    assert fixed.words in condition(status(api), "ConfigurationWarning")["message"]


def test_a_failed_migration_is_no_reason_not_to_ask_again(api: MemoryApi, fixed: Fixed) -> None:
    fixed.ask("20Gi")
    change(api, image="runtime:2")
    fixed.engine.reconcile(REF)
    fail_jobs(api)
    fixed.time += timedelta(seconds=MOST_S)
    outcome = fixed.engine.reconcile(REF)
    assert (outcome.result, outcome.failed) == ("problem", False)
    assert outcome.requeue_s is not None
    assert len(fixed.asked) == 2
