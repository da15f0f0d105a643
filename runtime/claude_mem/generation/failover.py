"""Providers in an order: when one fails in a way that another may not, the next is asked.

What a failure does:

| Class | Next provider | Circuit |
|---|---|---|
| `transient`, timeouts included | asked | counts a failure |
| `rate_limit` | asked; the one that asked for a pause comes last until it is over | answered |
| `auth_invalid`, `quota_exhausted` | asked: the key and the account are this provider's own | answered |
| `parse_error` | not asked: the answer was paid for, and asking round would multiply its cost | answered |
| `unrecoverable` | not asked: the request is at fault, or a setting such as the model's name is | answered |

An answer of any kind shows that the service can be reached, so it ends a run of failures. Tokens of the calls that
failed are added to the outcome, whichever it is. Repeating a request later is left to the job.
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from claude_mem.generation.breaker import BreakerOptions, CircuitBreaker, CircuitState
from claude_mem.generation.errors import (
    AuthInvalidError,
    GenerationError,
    QuotaExhaustedError,
    RateLimitError,
    TransientError,
)
from claude_mem.generation.port import CallAdmission, Usage
from claude_mem.telemetry import metrics, tracing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from claude_mem.generation.breaker import Ticket
    from claude_mem.generation.port import GenerationRequest, Provider, ProviderResult

logger = logging.getLogger(__name__)

CIRCUIT_OPEN = "circuit_open"
"""Category of the error for a request that no provider was called for."""

#: How OpenTelemetry's conventions name providers, where that is not our name.
_SPOKEN_OF = {"claude": "anthropic", "gemini": "gcp.gemini"}


@dataclass(slots=True, eq=False)
class _Member:
    """A provider, its circuit, and the time on the clock before which it asked not to be called."""

    provider: Provider
    breaker: CircuitBreaker
    waits_until: float = -math.inf

    @property
    def fields(self) -> dict[str, str]:
        """What a log line says of it."""
        return {"provider": self.provider.name, "model": self.provider.model}


class FailoverProvider:
    """Asks the first provider whose circuit lets a call through, and on failure the next.

    Each provider has a circuit of its own, so one provider may stand here twice with two models. All share the
    process: circuits are not known to other workers.

    Parameters:
        providers: in the order in which they are asked; closed with this one.
        breaker: when a circuit opens, and for how long.
        clock: a time in seconds that never goes back.

    Raises:
        ValueError: there is no provider.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        *,
        breaker: BreakerOptions | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not providers:
            raise ValueError("there is no provider to ask: name at least one")
        self._members = [_Member(one, CircuitBreaker(breaker, clock=clock)) for one in providers]
        for member in self._members:
            metrics.CIRCUIT_OPEN.labels(**member.fields).set(0)
        self._clock = clock

    @property
    def name(self) -> str:
        """Name of the first provider; who answered stands in the result."""
        return self._members[0].provider.name

    @property
    def model(self) -> str:
        """Model of the first provider."""
        return self._members[0].provider.model

    @property
    def admission(self) -> CallAdmission:
        """None are let through while every circuit is open, and one while the soonest of them may be probed."""
        breakers = [member.breaker for member in self._members]
        if any(breaker.state is CircuitState.CLOSED for breaker in breakers):
            return CallAdmission()
        wait_s = min(breaker.retry_after_s for breaker in breakers)
        return CallAdmission(calls=0 if wait_s > 0 else 1, wait_s=wait_s)

    async def generate(self, request: GenerationRequest) -> ProviderResult:
        """Ask one provider after the other, each at most once, until one answers.

        Raises:
            GenerationError: nobody answered. Of the errors, the one that may be retried soonest, final ones
                only where no other is; its usage is that of all calls. Where every circuit is open, a
                TransientError of category `circuit_open` says when to come back, and no call was made.
        """
        failures: list[GenerationError] = []
        passed_over: list[_Member] = []
        for member in self._order():
            ticket = member.breaker.admit()
            if ticket is None:
                passed_over.append(member)
                continue
            try:
                result = await _call(member, ticket, request=request)
            except (TransientError, RateLimitError, AuthInvalidError, QuotaExhaustedError) as error:
                failures.append(error)
                self._note(member, error)
            except GenerationError as error:
                error.usage = _sum((*failures, error))
                raise
            else:
                return replace(result, usage=result.usage + (_sum(failures) or Usage()))
        raise _most_useful(failures, passed_over)

    async def close(self) -> None:
        """Close every provider, also where closing another fails."""
        async with AsyncExitStack() as stack:
            for member in reversed(self._members):
                stack.push_async_callback(member.provider.close)

    def _order(self) -> list[_Member]:
        """As given, but those last that asked for a pause: they are asked only where no other answers."""
        now = self._clock()
        return sorted(self._members, key=lambda member: member.waits_until > now)

    def _note(self, member: _Member, error: GenerationError) -> None:
        if isinstance(error, RateLimitError) and error.retry_after_ms:
            member.waits_until = self._clock() + error.retry_after_ms / 1000
        if len(self._members) > 1:
            logger.warning(
                "a provider failed; the others are asked",
                extra={**member.fields, "classification": error.classification, "status": error.status},
            )


async def _call(member: _Member, ticket: Ticket, *, request: GenerationRequest) -> ProviderResult:
    outcome = "ended"
    try:
        with metrics.CALL_SECONDS.labels(**member.fields).time():
            result = await _traced(member, request)
    except TransientError as error:
        outcome = error.classification
        if member.breaker.failed(ticket):
            metrics.CIRCUIT_OPEN.labels(**member.fields).set(1)
            logger.warning("a provider keeps failing and is left alone for a while", extra=member.fields)
        raise
    except GenerationError as error:
        outcome = error.classification
        _answered(member, ticket)
        raise
    else:
        outcome = "ok"
        _answered(member, ticket)
        return result
    finally:
        metrics.CALLS.labels(**member.fields, outcome=outcome).inc()
        member.breaker.abandon(ticket)  # cancelled, or an error that nobody foresaw


async def _traced(member: _Member, request: GenerationRequest) -> ProviderResult:
    """The call as a span, by OpenTelemetry's conventions for generative models, without what is said in it."""
    model = member.provider.model
    with tracing.span(
        f"chat {model}",
        kind="client",
        gen_ai__operation__name="chat",
        gen_ai__provider__name=_SPOKEN_OF.get(member.provider.name, member.provider.name),
        gen_ai__request__model=model,
    ) as span:
        try:
            result = await member.provider.generate(request)
        except GenerationError as error:
            if span is not None:
                span.failed(error.classification)
                _note_usage(span, error.usage)
            raise
        if span is not None:
            _note_usage(span, result.usage)
        return result


def _note_usage(span: tracing.Traced, usage: Usage | None) -> None:
    if usage is not None:
        span.note(
            gen_ai__usage__input_tokens=usage.input_tokens, gen_ai__usage__output_tokens=usage.output_tokens
        )


def _answered(member: _Member, ticket: Ticket) -> None:
    if member.breaker.answered(ticket):
        metrics.CIRCUIT_OPEN.labels(**member.fields).set(0)
        logger.info("a provider answers again", extra=member.fields)


def _most_useful(failures: Sequence[GenerationError], passed_over: Iterable[_Member]) -> GenerationError:
    """The error that leads to the next try soonest, with the usage of all calls.

    One that names no wait counts as none, for then the job's own pause decides, which is short.
    """
    retryable = [error for error in failures if error.retryable]
    retryable += [_unasked(member, called=bool(failures)) for member in passed_over]
    error = min(retryable or failures[:1], key=lambda one: one.retry_after_ms or 0)
    error.usage = _sum(failures)
    return error


def _unasked(member: _Member, *, called: bool) -> TransientError:
    wait_s = member.breaker.retry_after_s
    return TransientError(
        f"{member.provider.name} ({member.provider.model}) kept failing and is not called for the moment; "
        "it is tried again",
        provider=member.provider.name,
        model=member.provider.model,
        category=None if called else CIRCUIT_OPEN,
        retry_after_ms=max(1, math.ceil(wait_s * 1000)),
    )


def _sum(errors: Iterable[GenerationError]) -> Usage | None:
    """Tokens of failed calls; None where none were reported."""
    reported = [error.usage for error in errors if error.usage is not None]
    return sum(reported, Usage()) if reported else None
