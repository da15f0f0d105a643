"""What logs and traces say of the work on jobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from claude_mem.telemetry import tracing
from claude_mem.telemetry.context import bound

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_mem.services.outcomes import Taken


@contextmanager
def told(taken: Sequence[Taken]) -> Iterator[None]:
    """The work on jobs: it goes on with the trace of the first, and leads back to those of the others."""
    jobs = [each.job for each in taken]
    asked = list(dict.fromkeys(job.traceparent for job in jobs if job.traceparent))
    requests = [job.payload.members.get("request_id") for job in jobs]
    with (
        tracing.span(
            f"generate {jobs[0].lane}",
            kind="consumer",
            parent={"traceparent": asked[0]} if asked else None,
            links=asked[1:],
            messaging__operation__type="process",
            messaging__batch__message_count=len(jobs),
            claude_mem__lane=jobs[0].lane,
            claude_mem__attempt=jobs[0].attempts,
        ),
        bound(
            jobIds=[job.id for job in jobs],
            requestIds=[request for request in requests if isinstance(request, str)] or None,
            traceId=tracing.trace_id(),
        ),
    ):
        yield
