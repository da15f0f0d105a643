"""How long to wait before a failed reconcile is tried again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

FIRST_S: Final = 1.0
MOST_S: Final = 300.0
#: Part of the pause by which it may be longer or shorter, so that a hundred resources do not come back at once.
JITTER: Final = 0.2


@dataclass(slots=True)
class Backoff:
    """The pauses of one resource: each twice the one before, at most five minutes, with jitter.

    A new generation of the resource begins anew, and so does a success. `random` gives numbers from 0 to 1.
    """

    random: Callable[[], float]
    failures: int = 0
    generation: int | None = None

    def failed(self, *, generation: int | None, at_least: float = 0.0) -> float:
        """Count a failure; the pause in seconds, `at_least` what the API server asked for."""
        if generation is not None and generation != self.generation:
            self.failures = 0
            self.generation = generation
        # 2**9 seconds are beyond the cap already.
        pause = min(MOST_S, FIRST_S * 2 ** min(self.failures, 9))
        self.failures += 1
        return float(min(MOST_S, max(at_least, pause * (1 - JITTER + 2 * JITTER * self.random()))))

    def succeeded(self) -> None:
        """Forget the failures."""
        self.failures = 0
