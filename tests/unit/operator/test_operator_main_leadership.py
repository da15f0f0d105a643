"""Who acts: one at a time, whatever the replicas' clocks say, and nobody without a renewed lease."""

from __future__ import annotations

from datetime import UTC, datetime

from claude_mem_operator.kube.errors import Conflict, Unavailable
from claude_mem_operator.kube.kinds import LEASE
from claude_mem_operator.kube.port import ObjectRef
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


def test_a_process_that_was_started_anew_is_another_holder() -> None:
    api, clock = MemoryApi(), Clock()
    replica(api, clock, "same-host").look()
    again = replica(api, clock, "same-host")
    again.look()
    assert not again.leading()
