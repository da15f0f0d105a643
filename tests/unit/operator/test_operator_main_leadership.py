"""Who acts: one at a time, whatever the replicas' clocks say, and nobody without a renewed lease."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime

import pytest

from claude_mem_operator.kube.errors import Conflict, Forbidden, KubeError, Unavailable
from claude_mem_operator.kube.kinds import DEPLOYMENT, LEASE
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef
from claude_mem_operator.leadership import Leadership
from tests.support.kube_memory import MemoryApi

REF = ObjectRef(LEASE, "operators", "lease")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def replica(api: MemoryApi, clock: Clock, name: str) -> Leadership:
    return Leadership(api, namespace="operators", name="lease", identity=name, duration_s=15, clock=clock)


def test_the_first_leads_and_the_second_waits_for_the_whole_lease() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()
    assert first.leading()
    assert not second.leading()
    for _ in range(20):
        clock.now += 3
        first.look()
        second.look()
        assert (first.leading(), second.leading()) == (True, False)
    waited = 0.0
    while not second.leading():
        clock.now += 3
        waited += 3
        second.look()
        assert not (first.leading() and second.leading())
    assert 15 <= waited <= 20
    assert api.objects[REF]["spec"]["leaseTransitions"] == 1


def test_a_wrong_clock_elsewhere_takes_no_lease_away() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    past = datetime(2001, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    api.edit(REF, lambda live: live["spec"].update(renewTime=past))
    second.look()
    assert not second.leading()


def test_a_released_lease_is_taken_at_once() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()
    first.release()
    assert not first.leading()
    second.look()
    assert second.leading()


def test_a_look_that_is_under_way_does_not_take_a_released_lease_back() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    renewing, go_on = threading.Event(), threading.Event()

    def hold_up(_verb: str, _ref: ObjectRef) -> None:
        api.before_write = lambda _verb, _ref: None
        renewing.set()
        assert go_on.wait(60)

    api.before_write = hold_up
    threads = [threading.Thread(target=work) for work in (first.look, first.release)]
    threads[0].start()
    assert renewing.wait(60)
    threads[1].start()
    threads[1].join(0.3)  # time to do what it must not
    go_on.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not first.leading()
    first.look()
    assert not first.leading(), "it is given up for good"
    second.look()
    assert second.leading()


def test_a_lease_whose_renewal_is_late_is_given_up_all_the_same() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    clock.now += 12
    assert not first.leading()
    first.release()
    second.look()
    assert second.leading()


class Deaf(MemoryApi):
    """An API server that does what it is told, and whose next `deaf` answers are lost."""

    deaf = 0

    def _store(self, ref: ObjectRef, changed: Manifest) -> Manifest:
        stored = super()._store(ref, changed)
        if self.deaf:
            self.deaf -= 1
            raise Unavailable("no answer")
        return stored


@pytest.mark.parametrize("made", [True, False], ids=["made", "taken"])
def test_a_lease_is_given_up_although_nobody_heard_that_it_was_taken(*, made: bool) -> None:
    api, clock = Deaf(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    if not made:
        earlier = replica(api, clock, "earlier")
        earlier.look()
        earlier.release()
    api.deaf = 1
    first.look()
    second.look()
    assert not first.leading()
    assert not second.leading(), "it is held"
    first.release()
    second.look()
    assert second.leading()


class Away(MemoryApi):
    """An API server that can be away for reads of some kinds; `asked` are all reads."""

    def __init__(self) -> None:
        super().__init__()
        self.away: set[Kind] = set()
        self.asked: list[ObjectRef] = []

    def get(self, ref: ObjectRef) -> Manifest | None:
        self.asked.append(ref)
        if ref.kind in self.away:
            raise Unavailable("away")
        return super().get(ref)


@pytest.mark.parametrize("state", ["unknown", "followed", "free", "missing"])
def test_who_wrote_no_lease_ends_without_a_call_or_a_word_although_its_last_look_failed(
    state: str, caplog: pytest.LogCaptureFixture
) -> None:
    api, clock = Away(), Clock()
    first, second = replica(api, clock, "a"), owned(api, clock, "b")
    if state != "missing":
        first.look()
    if state == "followed":
        second.look()
    if state == "free":
        first.release()
    # Who takes the lease, or makes it, asks for its owner before.
    api.away = {LEASE} if state in ("unknown", "followed") else {DEPLOYMENT}
    second.look()
    assert "the lease cannot be looked at" in caplog.text
    api.away = {LEASE, DEPLOYMENT}
    api.asked.clear()
    second.release()
    assert api.asked == []
    assert "could not be given up" not in caplog.text


def test_a_holder_gives_the_lease_up_although_its_last_look_failed() -> None:
    api, clock = Away(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    api.away = {LEASE}
    clock.now += 3
    first.look()
    api.away = set()
    first.release()
    second.look()
    assert second.leading()


def test_a_lease_that_was_given_up_unheard_stays_with_who_takes_it(caplog: pytest.LogCaptureFixture) -> None:
    api, clock = Deaf(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    api.deaf = 1
    first.release()
    second.look()
    first.look()
    assert (first.leading(), second.leading()) == (False, True)
    assert not [line for line in caplog.records if line.levelno >= logging.WARNING], "nobody waits for it"


@pytest.mark.parametrize("lost", [Unavailable("away"), Conflict("a late renewal was first")], ids=str)
def test_a_lease_is_given_up_again_where_that_was_not_done(lost: KubeError) -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()

    def lose(_verb: str, _ref: ObjectRef) -> None:
        api.before_write = lambda _verb, _ref: None
        raise lost

    api.before_write = lose
    first.release()
    second.look()
    assert second.leading()


@pytest.mark.parametrize(("takes_s", "tries"), [(0, 2), (15, 1)])
def test_who_cannot_give_the_lease_up_tries_no_longer_than_it_lasts(
    caplog: pytest.LogCaptureFixture, takes_s: int, tries: int
) -> None:
    api, clock = MemoryApi(), Clock()
    first = replica(api, clock, "a")
    first.look()
    tried: list[str] = []

    def away(verb: str, _ref: ObjectRef) -> None:
        tried.append(verb)
        clock.now += takes_s
        raise Unavailable("away")

    api.before_write = away
    first.release()
    assert len(tried) == tries
    assert "others wait for its end" in caplog.text


def test_who_does_not_hold_the_lease_takes_it_from_nobody_by_its_end() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()
    second.release()
    first.look()
    assert first.leading()


def test_who_cannot_renew_stops_before_others_may_begin() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()

    def away(_verb: str, _ref: ObjectRef) -> None:
        raise Unavailable("away")

    api.before_write = away
    clock.now += 9
    first.look()
    assert first.leading(), "what was granted still holds"
    clock.now += 2
    assert not first.leading()
    second.look()
    assert not second.leading()


def test_of_two_that_reach_for_it_one_gets_it() -> None:
    api, clock = MemoryApi(), Clock()
    first = replica(api, clock, "a")

    def taken(verb: str, _ref: ObjectRef) -> None:
        raise Conflict("somebody was first")

    api.before_write = taken
    first.look()
    assert not first.leading()


def test_who_annotates_the_lease_while_it_is_renewed_takes_it_from_nobody() -> None:
    api, clock = MemoryApi(), Clock()
    first = replica(api, clock, "a")
    first.look()

    def annotate(_verb: str, _ref: ObjectRef) -> None:
        api.before_write = lambda _verb, _ref: None
        api.edit(REF, lambda live: live["metadata"].update(annotations={"team": "platform"}))

    api.before_write = annotate
    clock.now += 9
    first.look()
    assert first.leading()
    assert api.objects[REF]["metadata"]["annotations"] == {"team": "platform"}
    clock.now += 9
    assert first.leading(), "it was renewed"


def test_who_loses_the_lease_while_it_is_renewed_leads_no_more() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()
    clock.now += 15

    def take(_verb: str, _ref: ObjectRef) -> None:
        api.before_write = lambda _verb, _ref: None
        second.look()

    api.before_write = take
    first.look()
    assert (first.leading(), second.leading()) == (False, True)


def test_a_process_that_was_started_anew_is_another_holder() -> None:
    api, clock = MemoryApi(), Clock()
    replica(api, clock, "same-host").look()
    again = replica(api, clock, "same-host")
    again.look()
    assert not again.leading()


DEPLOYED = ObjectRef(DEPLOYMENT, "operators", "operator")


def deploy(api: MemoryApi) -> str:
    made = api.create(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": DEPLOYED.name, "namespace": DEPLOYED.namespace},
            "spec": {},
        }
    )
    return str(made["metadata"]["uid"])


def owned(api: MemoryApi, clock: Clock, name: str) -> Leadership:
    return Leadership(
        api,
        namespace="operators",
        name="lease",
        identity=name,
        duration_s=15,
        owner=DEPLOYED.name,
        clock=clock,
    )


def owners(api: MemoryApi) -> list[str]:
    return [one["uid"] for one in api.objects[REF]["metadata"].get("ownerReferences", [])]


def test_a_lease_belongs_to_the_deployment_whoever_made_it_and_whoever_makes_it_again() -> None:
    api, clock = MemoryApi(), Clock()
    uid = deploy(api)
    replica(api, clock, "earlier").look()
    assert owners(api) == []
    first = owned(api, clock, "a")
    first.look()
    clock.now += 15
    first.look()
    assert first.leading()
    assert owners(api) == [uid]
    assert api.objects[REF]["metadata"]["ownerReferences"][0]["kind"] == "Deployment"
    # Both are gone, and this replica is still ending: what it makes is to be collected, too.
    del api.objects[DEPLOYED]
    del api.objects[REF]
    first.look()
    assert owners(api) == [uid]


def test_a_deployment_that_is_not_there_or_must_not_be_read_keeps_nobody_from_leading() -> None:
    class Refusing(MemoryApi):
        def get(self, ref: ObjectRef) -> Manifest | None:
            if ref.kind == DEPLOYMENT:
                raise Forbidden("no")
            return super().get(ref)

    for api in (MemoryApi(), Refusing()):
        alone = owned(api, Clock(), "a")
        alone.look()
        assert alone.leading()
        assert owners(api) == []


def test_who_has_seen_a_holder_waits_for_its_time_before_a_deleted_lease_is_made_again() -> None:
    api, clock = MemoryApi(), Clock()
    first, second = replica(api, clock, "a"), replica(api, clock, "b")
    first.look()
    second.look()
    del api.objects[REF]
    clock.now += 3
    second.look()
    assert not second.leading()
    first.look()
    assert first.leading()
    del api.objects[REF]
    clock.now += 15
    second.look()
    assert (first.leading(), second.leading()) == (False, True)
