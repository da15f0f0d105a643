"""What the operator tells Prometheus, declared in one place; docs/reference/operator.md is generated from it."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric

_P: Final = "claude_mem_operator"
#: From a look that changes nothing (tens of milliseconds) to a first one against a slow API server.
_BUCKETS: Final = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Metrics:
    """One replica's metrics, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._reconciles = Counter(
            f"{_P}_reconcile",
            "Reconciles, by result: ready, progressing, problem, failed, deleting, gone, not-leading, error.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            f"{_P}_reconcile_seconds",
            "How long reconciles take, in seconds.",
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._requests = Counter(
            f"{_P}_api_requests",
            "Calls of the API server, by verb, kind and outcome: ok, or the error's name. Watches count where they stay "
            "Forbidden.",
            ["verb", "kind", "outcome"],
            registry=self.registry,
        )
        self._reviews = Counter(
            f"{_P}_webhook_requests",
            "Admission reviews, by result: allowed, denied, failed, timeout, malformed.",
            ["result"],
            registry=self.registry,
        )
        self._review_seconds = Histogram(
            f"{_P}_webhook_seconds", "How long admission reviews take, in seconds.", registry=self.registry
        )
        self._expiry = Gauge(
            f"{_P}_certificate_expiry_timestamp_seconds",
            "When the webhook's certificate ends, in Unix time; 0 while there is none.",
            registry=self.registry,
        )
        build = Info(f"{_P}_build", "The operator's version.", registry=self.registry)
        build.info({"version": _version()})

    def reconciled(self, result: str, seconds: float) -> None:
        """Count a reconcile."""
        self._reconciles.labels(result).inc()
        self._seconds.observe(seconds)

    def called(self, verb: str, kind: str, outcome: str) -> None:
        """Count a call of the API server."""
        self._requests.labels(verb, kind, outcome).inc()

    def reviewed(self, result: str, seconds: float) -> None:
        """Count an admission review."""
        self._reviews.labels(result).inc()
        self._review_seconds.observe(seconds)

    def certified(self, expires: datetime) -> None:
        """Note when the certificate that is served ends."""
        self._expiry.set(expires.timestamp())

    def watch(
        self,
        *,
        leading: Callable[[], bool],
        phases: Callable[[], Mapping[str, int]],
        queue: Callable[[], Mapping[str, int]],
        staleness: Callable[[], float],
        oldest_run: Callable[[], float],
    ) -> None:
        """Tell, when asked, of what others know: who leads, resources by phase, runs, and what is held up for how long."""
        self.registry.register(_State(leading, phases, queue, staleness, oldest_run))


class _State(Collector):
    """Values that are read when Prometheus asks, and kept nowhere."""

    def __init__(
        self,
        leading: Callable[[], bool],
        phases: Callable[[], Mapping[str, int]],
        queue: Callable[[], Mapping[str, int]],
        staleness: Callable[[], float],
        oldest_run: Callable[[], float],
    ) -> None:
        self._leading = leading
        self._phases = phases
        self._queue = queue
        self._staleness = staleness
        self._oldest_run = oldest_run

    def collect(self) -> Iterable[Metric]:
        """What it is now."""
        yield GaugeMetricFamily(
            f"{_P}_leader", "Whether this replica holds the lease: 1 or 0.", value=float(self._leading())
        )
        yield GaugeMetricFamily(
            f"{_P}_watch_staleness_seconds",
            "For how long a watch has not told of a change that was read otherwise, in seconds; 0 as it should be.",
            value=self._staleness(),
        )
        yield GaugeMetricFamily(
            f"{_P}_oldest_reconcile_seconds",
            "For how long the oldest reconcile that is under way has been, in seconds; 0 while there is none.",
            value=self._oldest_run(),
        )
        queue = GaugeMetricFamily(
            f"{_P}_reconcile_queue",
            "Resources that wait for a run or run, by state: waiting, running. Those that wait for long need more "
            "concurrency.",
            labels=["state"],
        )
        for state, count in self._queue().items():
            queue.add_metric([state], count)
        yield queue
        resources = GaugeMetricFamily(
            f"{_P}_resources", "Resources, by phase; of the acting replica only.", labels=["phase"]
        )
        for phase, count in sorted(self._phases().items()):
            resources.add_metric([phase], count)
        yield resources


def _version() -> str:
    try:
        return version("claude-mem")
    except PackageNotFoundError:
        return "unknown"
