"""The circuit breaker: its states by example, and as a machine that any sequence of calls drives."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, precondition, rule

from claude_mem.generation.breaker import BreakerOptions, CircuitBreaker, CircuitState, Ticket

OPTIONS = BreakerOptions(failures=10, pause_s=4.0)


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def admitted(breaker: CircuitBreaker) -> Ticket:
    ticket = breaker.admit()
    assert ticket is not None
    return ticket


def opened(clock: Clock) -> CircuitBreaker:
    breaker = CircuitBreaker(OPTIONS, clock=clock)
    for _ in range(10):
        breaker.failed(admitted(breaker))
    return breaker


def test_the_tenth_failure_in_a_row_opens_it() -> None:
    breaker = CircuitBreaker()
    told = [breaker.failed(admitted(breaker)) for _ in range(10)]
    assert told == [False] * 9 + [True]
    assert breaker.state is CircuitState.OPEN
    assert breaker.admit() is None
    assert 0 < breaker.retry_after_s <= 5


def test_an_answer_ends_the_run() -> None:
    breaker = CircuitBreaker(OPTIONS)
    for _ in range(3):
        for _ in range(9):
            breaker.failed(admitted(breaker))
        assert not breaker.answered(admitted(breaker))
    assert breaker.state is CircuitState.CLOSED
    assert breaker.retry_after_s == 0


def test_after_the_pause_one_probe_is_let_through() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 3.5
    assert (breaker.admit(), breaker.retry_after_s) == (None, 0.5)
    clock.now += 0.5
    assert (breaker.state, breaker.retry_after_s) == (CircuitState.HALF_OPEN, 0.0)
    probe = admitted(breaker)
    assert [breaker.admit() for _ in range(5)] == [None] * 5
    assert (breaker.state, breaker.retry_after_s) == (CircuitState.HALF_OPEN, 4.0)
    assert breaker.answered(probe)
    assert (breaker.state, breaker.retry_after_s) == (CircuitState.CLOSED, 0.0)
    for _ in range(9):
        breaker.failed(admitted(breaker))
    assert breaker.state is CircuitState.CLOSED


def test_a_probe_that_fails_opens_it_for_another_pause() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 10
    assert breaker.failed(admitted(breaker))
    assert (breaker.state, breaker.retry_after_s) == (CircuitState.OPEN, 4.0)


def test_a_probe_that_is_given_up_leaves_its_place_to_the_next() -> None:
    clock = Clock()
    breaker = opened(clock)
    clock.now += 4
    lost = admitted(breaker)
    breaker.abandon(lost)
    probe = admitted(breaker)
    assert not breaker.answered(lost)
    assert not breaker.failed(lost)
    assert breaker.answered(probe)


def test_calls_from_before_it_opened_no_longer_count() -> None:
    clock = Clock()
    breaker = CircuitBreaker(OPTIONS, clock=clock)
    early = [admitted(breaker) for _ in range(32)]
    assert [breaker.failed(ticket) for ticket in early].count(True) == 1
    clock.now += 2
    assert not breaker.failed(early[-1])
    assert not breaker.answered(early[-1])
    assert breaker.retry_after_s == 2.0


@pytest.mark.parametrize("failures", [9, 0, -1])
def test_fewer_than_ten_failures_are_refused(failures: int) -> None:
    with pytest.raises(ValueError, match="at least 10"):
        BreakerOptions(failures=failures)


@pytest.mark.parametrize("pause_s", [0.0, -1.0, 5.1, float("nan")])
def test_a_pause_beyond_five_seconds_is_refused(pause_s: float) -> None:
    with pytest.raises(ValueError, match="at most 5"):
        BreakerOptions(pause_s=pause_s)


class BreakerMachine(RuleBasedStateMachine):
    """Any interleaving of calls, outcomes and time, beside a description of what should be.

    `phase` counts the changes of state; a call remembers the phase it began in, and counts only within it.
    """

    calls: Bundle[tuple[Ticket, int]] = Bundle("calls")

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.breaker = CircuitBreaker(OPTIONS, clock=self.clock)
        self.phase = 0
        self.row = 0
        self.opened_at: float | None = None
        self.probe: int | None = None

    @rule(target=calls)
    def call(self) -> tuple[Ticket, int]:
        waited = self.opened_at is not None and self.clock.now >= self.opened_at + OPTIONS.pause_s
        let_through = self.opened_at is None or (waited and self.probe is None)
        ticket = self.breaker.admit()
        assert (ticket is not None) == let_through
        if ticket is None:
            return Ticket(-1), -1
        if self.opened_at is not None:
            self.phase += 1
            self.probe = self.phase
        return ticket, self.phase

    @rule(call=calls)
    def answer(self, call: tuple[Ticket, int]) -> None:
        closes = self.probe is not None and call[1] == self.probe
        assert self.breaker.answered(call[0]) == closes
        if call[1] == self.phase:
            self.row = 0
        if closes:
            self.opened_at, self.probe = None, None
            self.phase += 1

    @rule(call=calls)
    def fail(self, call: tuple[Ticket, int]) -> None:
        counts = call[1] == self.phase
        self.row += counts
        opens = counts and (self.probe is not None or self.row >= OPTIONS.failures)
        assert self.breaker.failed(call[0]) == opens
        if opens:
            self.opened_at, self.probe = self.clock.now, None
            self.phase += 1

    @precondition(lambda self: self.opened_at is None)
    @rule(times=st.integers(5, 15))
    def outage(self, times: int) -> None:
        for _ in range(times):
            self.fail(self.call())

    @rule(call=consumes(calls))
    def abandon(self, call: tuple[Ticket, int]) -> None:
        self.breaker.abandon(call[0])
        if self.probe is not None and call[1] == self.probe:
            self.probe = None
            self.phase += 1

    @rule(seconds=st.floats(0, 6))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @invariant()
    def it_is_closed_exactly_when_it_never_opened_or_closed_again(self) -> None:
        assert (self.breaker.state is CircuitState.CLOSED) == (self.opened_at is None)

    @invariant()
    def it_never_stays_open_for_more_than_five_seconds(self) -> None:
        assert 0 <= self.breaker.retry_after_s <= 5
        if self.opened_at is not None and self.clock.now >= self.opened_at + 5:
            assert self.breaker.state is CircuitState.HALF_OPEN


TestBreakerMachine = BreakerMachine.TestCase
