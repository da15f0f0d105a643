"""Traces by OpenTelemetry, from a request over its job to the provider; nothing at all until an endpoint is named.

The SDK is an extra of the package, `otel`, which the images have. Its own variables (`OTEL_EXPORTER_OTLP_HEADERS`,
`OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, …) are read by it. Attributes take names that the
program chose: never what a client or a model wrote, never a key, nothing that tells of a team.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Literal

from claude_mem import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span

Kind = Literal["server", "consumer", "client"]

logger = logging.getLogger(__name__)

#: Seconds that the last spans get to leave when the process ends.
PARTING_S = 5.0

_HEADERS = ("traceparent", "tracestate")
_OFF: Final = nullcontext(None)


class Traced:
    """A span that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def note(self, **attributes: Any) -> None:
        """Add attributes; `__` in a name stands for a dot."""
        self._span.set_attributes({name.replace("__", "."): value for name, value in attributes.items()})

    def failed(self, kind: str) -> None:
        """Mark it as failed.

        Parameters:
            kind: a class of errors, or a status; never an error's text.
        """
        from opentelemetry.trace import StatusCode  # noqa: PLC0415 - only where there is a span

        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR)


class _Tracing:
    """What this process traces with."""

    def __init__(self, provider: Any) -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415 - only where it is on
            TraceContextTextMapPropagator,
        )

        self.provider = provider
        self.propagator = TraceContextTextMapPropagator()
        self.tracer = provider.get_tracer("claude_mem", __version__)

    def parent(self, headers: Mapping[str, str]) -> Any:
        from opentelemetry.context import Context  # noqa: PLC0415 - only where it is on

        carrier = {name: headers[name] for name in _HEADERS if headers.get(name)}
        return self.propagator.extract(carrier, Context()) if carrier else None

    @contextmanager
    def span(
        self,
        name: str,
        *,
        kind: Kind,
        parent: Mapping[str, str] | None,
        links: Sequence[str],
        attributes: Mapping[str, Any],
    ) -> Iterator[Traced]:
        from opentelemetry import trace  # noqa: PLC0415 - only where it is on

        linked = [trace.get_current_span(self.parent({"traceparent": link})) for link in links]
        with self.tracer.start_as_current_span(
            name,
            context=self.parent(parent) if parent else None,
            kind=trace.SpanKind[kind.upper()],
            attributes=attributes,
            links=[trace.Link(one.get_span_context()) for one in linked if one.get_span_context().is_valid],
            record_exception=False,
            set_status_on_exception=False,
        ) as made:
            yield Traced(made)


_current: _Tracing | None = None


def span(
    name: str,
    *,
    kind: Kind,
    parent: Mapping[str, str] | None = None,
    links: Sequence[str] = (),
    **attributes: Any,
) -> AbstractContextManager[Traced | None]:
    """A span that lasts as long as its block, within the one under way unless it is given a parent; None where it is off.

    Parameters:
        parent: headers of W3C Trace Context, `traceparent` and `tracestate`; what is malformed in them counts for nothing.
        links: `traceparent` of other spans that it goes back to.
        attributes: `__` in a name stands for a dot; None is left out.
    """
    if _current is None:
        return _OFF
    named = {key.replace("__", "."): value for key, value in attributes.items() if value is not None}
    return _current.span(name, kind=kind, parent=parent, links=links, attributes=named)


def traceparent() -> str | None:
    """The span under way, for another process; None where there is none."""
    if _current is None:
        return None
    carrier: dict[str, str] = {}
    _current.propagator.inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """The id of the trace under way, as logs have it."""
    found = traceparent()
    return None if found is None else found.split("-")[1]


@asynccontextmanager
async def exporting(endpoint: str | None, *, service: str) -> AsyncIterator[None]:
    """Trace for as long as the block lasts, and then send what is left.

    Parameters:
        endpoint: base address of an OTLP/HTTP receiver; None traces nothing.
        service: `service.name`, unless OTEL_SERVICE_NAME says otherwise.
    """
    global _current  # noqa: PLW0603 - a process traces to one place
    if endpoint is None:
        yield
        return
    try:
        provider = _provider(endpoint, service)
    except ImportError:
        logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but the SDK is missing: install claude-mem[otel]")
        yield
        return
    _current = _Tracing(provider)
    try:
        yield
    finally:
        _current = None
        # It waits for the receiver, which may not answer; a daemon keeps no process from ending.
        leaving = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        leaving.start()
        await asyncio.to_thread(leaving.join, PARTING_S)


def _provider(endpoint: str, service: str) -> Any:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - an extra
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - an extra
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - an extra

    ours = Resource({"service.name": service, "service.version": __version__})
    provider = TracerProvider(resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return provider
