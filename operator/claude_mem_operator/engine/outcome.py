"""What a reconcile came to, and when the next one is due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from claude_mem_operator.kube.errors import TooManyRequests

if TYPE_CHECKING:
    from claude_mem_operator.engine.memory import Memory
    from claude_mem_operator.kube.errors import KubeError

#: How often is looked at what no watch tells of: pods that do not start, in seconds.
POLL_S: Final = 10.0
#: How long a lost race for the resource itself waits, in seconds.
RACE_S: Final = 0.5
#: After so many lost races in a row it is no race any more, but a failure like any other.
RACES: Final = 5
#: How soon is looked again at a namespace that is being deleted, in seconds.
TERMINATING_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to.

    `result` is `ready`, `progressing`, `problem`, `failed`, `deleting` or `gone`; `phase` is the status'. `requeue_s`
    is after how many seconds to look again although nothing happens, if the resync does not come first. `failed` means
    that trying again sooner is no use, unless the resource or what it refers to changes. `references` are the kinds
    and names of the objects that it reads, or None where that was not found out.
    """

    result: str
    phase: str = ""
    requeue_s: float | None = None
    failed: bool = False
    references: frozenset[tuple[str, str]] | None = None


def pause(memory: Memory, generation: int | None, error: KubeError) -> float:
    """For how many seconds to leave a resource alone after an error."""
    asked = error.retry_after if isinstance(error, TooManyRequests) else 0.0
    return memory.backoff.failed(generation=generation, at_least=asked)
