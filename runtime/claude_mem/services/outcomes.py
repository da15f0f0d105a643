"""What may become of claimed jobs: answered, failed, or put back; nothing here is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from claude_mem.generation.content import Rendered
    from claude_mem.generation.port import Usage
    from claude_mem.model.records import Job
    from claude_mem.services.failures import Failure
    from claude_mem.storage.jobs import Claim


@dataclass(frozen=True, slots=True)
class Taken:
    """A job with the claim on it."""

    job: Job
    claim: Claim


@dataclass(frozen=True, slots=True)
class Drafted:
    """An observation that is to be stored.

    Parameters:
        index: its place in the reply, from 0.
        owner: the first of all jobs it came of, taken now or at another time: what it is known by.
        job_ids: those of them that are taken now, whose sources it is linked to.
    """

    item: Rendered
    index: int
    owner: str
    job_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """Jobs that are done, with what came of them.

    Parameters:
        call_id: the call, whose tokens count once, however many parts its jobs are done in; None where nobody was asked.
        usage: tokens of the call; None where nobody was asked.
        provider, model: who answered, or None.
    """

    taken: tuple[Taken, ...]
    drafted: tuple[Drafted, ...] = ()
    call_id: str | None = None
    usage: Usage | None = None
    provider: str | None = None
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """A job whose attempt failed.

    Parameters:
        pause_us: microseconds until it is tried again; None when this was the end.
        counts_usage: whether the tokens of the failure are this job's to count.
    """

    taken: Taken
    failure: Failure
    pause_us: int | None
    counts_usage: bool = True


@dataclass(frozen=True, slots=True)
class Postponed:
    """A job that goes back without having used its attempt.

    Parameters:
        until_us: when it is due again; None at once.
        failure: why, as kept in its `last_error` and its history.
    """

    taken: Taken
    until_us: int | None
    failure: Failure


Outcome = Answered | Failed | Postponed


def taken_of(outcome: Outcome) -> tuple[Taken, ...]:
    """The jobs that an outcome is about."""
    return outcome.taken if isinstance(outcome, Answered) else (outcome.taken,)
