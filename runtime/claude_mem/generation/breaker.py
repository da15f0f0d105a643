"""A circuit breaker: stops calls to a service that keeps failing, and lets one at a time find out whether it is back.

    closed ── so many failures in a row ──▶ open ── after a pause, on the next call ──▶ half-open (one probe)
       ▲                                     ▲                                             │
       └──────────────── answered ───────────┼─────────────────────────────────────────────┤
                                             └────────── failed, or given up ──────────────┘

Which errors are failures of the service is left to the caller. Nothing here waits, so within one event loop each
step is whole.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

if TYPE_CHECKING:
    from collections.abc import Callable

FEWEST_FAILURES = 10
LONGEST_PAUSE_S = 5.0

Ticket = NewType("Ticket", int)
"""Leave to make one call. It is given back with the outcome."""


class CircuitState(StrEnum):
    """Whether calls are let through: all of them, none, or one."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerOptions:
    """When a circuit opens, and for how long.

    Parameters:
        failures: failures in a row that open it; at least 10, so that a burst of calls that fail together on a
            hiccup is not taken for an outage too easily.
        pause_s: seconds until an open circuit lets a probe through; at most 5, so that work resumes soon.

    Raises:
        ValueError: either is out of its bounds.
    """

    failures: int = FEWEST_FAILURES
    pause_s: float = 3.0

    def __post_init__(self) -> None:
        if self.failures < FEWEST_FAILURES:
            raise ValueError(f"failures is {self.failures}: a circuit opens after at least {FEWEST_FAILURES}")
        if not 0 < self.pause_s <= LONGEST_PAUSE_S:
            raise ValueError(f"pause_s is {self.pause_s}: it is above 0 and at most {LONGEST_PAUSE_S:g}")


class CircuitBreaker:
    """The circuit of one service.

    A ticket belongs to the state that it was given in. What becomes of a call that began before the circuit
    opened, or of a probe that was given up, changes nothing any more.

    Parameters:
        options: when it opens, and for how long.
        clock: a time in seconds that never goes back.
    """

    def __init__(
        self, options: BreakerOptions | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._options = options or BreakerOptions()
        self._clock = clock
        self._ticket = Ticket(0)
        self._failures = 0
        self._probe_from: float | None = None
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """What the next call would meet; half-open while a probe may be made or is under way."""
        if self._probe_from is None:
            return CircuitState.CLOSED
        due = self._probing or self._clock() >= self._probe_from
        return CircuitState.HALF_OPEN if due else CircuitState.OPEN

    @property
    def retry_after_s(self) -> float:
        """Seconds after which asking again makes sense; while a probe is under way, a whole pause."""
        if self._probe_from is None:
            return 0.0
        return self._options.pause_s if self._probing else max(0.0, self._probe_from - self._clock())

    def admit(self) -> Ticket | None:
        """Leave for one call, or None where no call is to be made. `abandon` or an outcome must follow."""
        match self.state:
            case CircuitState.OPEN:
                return None
            case CircuitState.HALF_OPEN:
                if self._probing:
                    return None
                self._probing = True
                self._turn()
        return self._ticket

    def answered(self, ticket: Ticket) -> bool:
        """Count a call that the service answered; whether that closed the circuit."""
        if ticket != self._ticket:
            return False
        self._failures = 0
        if not self._probing:
            return False
        self._probe_from, self._probing = None, False
        self._turn()
        return True

    def failed(self, ticket: Ticket) -> bool:
        """Count a call that the service failed; whether that opened the circuit, anew after a probe."""
        if ticket != self._ticket:
            return False
        self._failures += 1
        if self._failures < self._options.failures:  # a probe's failure prolongs the run that opened it
            return False
        self._probe_from, self._probing = self._clock() + self._options.pause_s, False
        self._turn()
        return True

    def abandon(self, ticket: Ticket) -> None:
        """Give back leave for a call without an outcome; after `answered` or `failed` it does nothing.

        The next call may be the probe in its place.
        """
        if ticket == self._ticket and self._probing:
            self._probing = False
            self._turn()

    def _turn(self) -> None:
        self._ticket = Ticket(self._ticket + 1)
