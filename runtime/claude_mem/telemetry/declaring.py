"""How a metric is declared: once, with all that docs/reference/metrics.md says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# A series that says when another began is as large as that one, and Prometheus does not need it.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Where(StrEnum):
    """Whose figure it is."""

    SERVER = "servers"
    WORKER = "workers, and servers that generate"
    BOTH = "servers and workers"
    DATABASE = "the database, the same at every server"


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric.

    Parameters:
        kind: `counter`, `gauge` or `histogram`.
    """

    name: str
    kind: str
    meaning: str
    labels: tuple[str, ...]
    where: Where

    def family(self, values: Mapping[tuple[str, ...], float]) -> GaugeMetricFamily:
        """The metric with values that somebody else keeps, by values of its labels."""
        made = GaugeMetricFamily(self.name, self.meaning, labels=self.labels)
        for labels, value in values.items():
            made.add_metric(labels, value)
        return made


REGISTRY: Final = CollectorRegistry()
"""What this process counts itself."""

DECLARED: Final[dict[str, Declared]] = {}
"""All metrics by name, in the order in which they are told of."""

ProcessCollector(registry=REGISTRY)


def counter(name: str, meaning: str, *labels: str, where: Where) -> Counter:
    """Something that is counted, `_total` by name."""
    _declare(name, "counter", meaning, labels=labels, where=where)
    return Counter(name, meaning, labels, registry=REGISTRY)


def gauge(name: str, meaning: str, *labels: str, where: Where) -> Gauge:
    """Something that goes up and down."""
    _declare(name, "gauge", meaning, labels=labels, where=where)
    return Gauge(name, meaning, labels, registry=REGISTRY)


def histogram(name: str, meaning: str, *labels: str, buckets: Sequence[float], where: Where) -> Histogram:
    """Something that is measured; `buckets` are upper bounds, in the unit of its name."""
    _declare(name, "histogram", meaning, labels=labels, where=where)
    return Histogram(name, meaning, labels, buckets=buckets, registry=REGISTRY)


def asked(name: str, meaning: str, *labels: str) -> Declared:
    """A gauge that the database is asked for whenever Prometheus asks."""
    return _declare(name, "gauge", meaning, labels=labels, where=Where.DATABASE)


def _declare(name: str, kind: str, meaning: str, *, labels: tuple[str, ...], where: Where) -> Declared:
    if name in DECLARED:
        raise ValueError(f"the metric {name} is declared twice")
    DECLARED[name] = Declared(name, kind, meaning, labels, where)
    return DECLARED[name]
