"""A process's metrics as JSON, and those of several processes as one answer for Prometheus.

A worker listens nowhere: it leaves its figures where a server finds them, and the server tells them with the label
`worker`. Figures of another release are taken as far as their types agree.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import orjson
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from claude_mem.telemetry.declaring import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger(__name__)

#: Who a figure is from, where it is not the answering process.
WORKER: Final = "worker"


def dump() -> str:
    """What this process counted so far."""
    families = [
        [
            family.name,
            family.type,
            family.documentation,
            [[s.name, s.labels, s.value] for s in family.samples],
        ]
        for family in REGISTRY.collect()
        if family.samples
    ]
    return orjson.dumps(families).decode()


class Merged(Collector):
    """The figures of this process, of workers, and further ones.

    Parameters:
        workers: what `dump` gave, by worker.
        further: such as those that the database was asked for.
    """

    def __init__(self, workers: Mapping[str, str], further: Iterable[Metric] = ()) -> None:
        self._workers = workers
        self._further = list(further)

    def collect(self) -> Iterable[Metric]:
        """All families, each once."""
        families = {family.name: _copy(family) for family in REGISTRY.collect()}
        for worker, text in self._workers.items():
            try:
                told = [_read(entry, worker) for entry in orjson.loads(text)]
            except (ValueError, TypeError, KeyError, LookupError):
                logger.warning("figures of a worker cannot be read", extra={"workerId": worker})
                continue
            for family in told:
                known = families.setdefault(family.name, family)
                if known is not family and known.type == family.type:
                    known.samples.extend(family.samples)
        return [*families.values(), *self._further]


def _copy(family: Metric) -> Metric:
    made = Metric(family.name, family.documentation, family.type)
    made.samples = list(family.samples)
    return made


def _read(entry: Any, worker: str) -> Metric:
    name, kind, documentation, samples = entry
    made = Metric(name, documentation, kind)
    for sample, labels, value in samples:
        made.add_sample(sample, {**labels, WORKER: worker}, float("nan") if value is None else float(value))
    return made
