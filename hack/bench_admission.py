"""Measures the webhook: reviews over TLS at a steady rate, then as many as one replica answers.

The replica is a process with its chart's rights on a real control plane, and the reviews are those of an edit of the
sample for production, each tenth of which is refused. At the steady rate a review's time counts from the moment at
which it was due, so that a stall counts for all that it held up. The client shares the machine with the replica.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import copy
import json
import ssl
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from claude_mem_operator.kube.dynamic import DynamicApi
from claude_mem_operator.kube.kinds import WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import ObjectRef
from tests.support.claude_mem_servers import install_crd, sample
from tests.support.helm import Helm
from tests.support.kube.control_plane import ControlPlane
from tests.support.kube_operator import Installation
from tests.support.ports import free_port
from tests.support.processes import cpu_seconds

#: What is asked of p99 at the steady rate: a tenth of what the chart lets API servers wait.
LIMIT_S = 0.5
#: As many connections as an API server keeps to one webhook.
CONNECTIONS = 25
#: One in so many reviews is refused.
WRONG_EACH = 10

console = Console()


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured, in seconds; ``wrong`` counts answers that were not as they should be."""

    reviews: int
    wrong: int
    took_s: float
    cpu_s: float
    times: list[float]

    def quantile(self, percent: int) -> float:
        """The time that so many percent of the reviews did not exceed."""
        return statistics.quantiles(self.times, n=100, method="inclusive")[percent - 1]


def review(*, good: bool) -> dict[str, Any]:
    """An AdmissionReview of an edit, as an API server sends it."""
    old = sample("production")
    new = copy.deepcopy(old)
    new["spec"].setdefault("log", {})["level"] = "DEBUG"
    if not good:
        new["spec"]["server"].setdefault("env", []).append(
            {"name": "CLAUDE_MEM_AUTH_MODE", "value": "local-dev"}
        )
    request = {
        "uid": str(uuid.uuid4()),
        "operation": "UPDATE",
        "namespace": "default",
        "name": new["metadata"]["name"],
        "object": new,
        "oldObject": old,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


class Client:
    """Sends reviews to one replica, whose process it watches."""

    def __init__(self, session: aiohttp.ClientSession, url: str, name: str, *, pid: int) -> None:
        self._session, self._url, self._name, self._pid = session, url, name, pid
        self._bodies = {good: json.dumps(review(good=good)).encode() for good in (True, False)}

    async def _ask(self, number: int) -> bool:
        """Whether the answer is as it should be."""
        good = number % WRONG_EACH != 0
        sent = self._session.post(
            self._url,
            data=self._bodies[good],
            headers={"Content-Type": "application/json"},
            server_hostname=self._name,
        )
        async with sent as answer:
            said = await answer.json()
        return bool(said["response"]["allowed"] is good)

    async def steady(self, *, rate: float, seconds: float) -> Figures:
        """So many reviews a second."""
        began, used, times = time.monotonic(), cpu_seconds(self._pid), []

        async def one(number: int) -> bool:
            due = began + number / rate
            await asyncio.sleep(due - time.monotonic())
            right = await self._ask(number)
            times.append(time.monotonic() - due)
            return right

        right = await asyncio.gather(*(one(number) for number in range(int(rate * seconds))))
        return self._figures(right, times, began=began, used=used)

    async def most(self, *, seconds: float) -> Figures:
        """As many reviews as are answered."""
        began, used, times = time.monotonic(), cpu_seconds(self._pid), []
        right: list[bool] = []

        async def ask_on(number: int) -> None:
            while time.monotonic() - began < seconds:
                sent, number = time.monotonic(), number + 1
                right.append(await self._ask(number))
                times.append(time.monotonic() - sent)

        await asyncio.gather(*(ask_on(number) for number in range(CONNECTIONS)))
        return self._figures(right, times, began=began, used=used)

    def _figures(self, right: list[bool], times: list[float], *, began: float, used: float) -> Figures:
        return Figures(
            reviews=len(right),
            wrong=right.count(False),
            took_s=time.monotonic() - began,
            cpu_s=cpu_seconds(self._pid) - used,
            times=times,
        )


async def measure(*, rate: float, seconds: float) -> tuple[Figures, Figures]:
    """The steady rate, then the most, each for ``seconds``."""
    with ControlPlane() as plane:
        install_crd(plane.kubectl)
        installed, port = Installation(plane, Helm(), webhook=True), free_port()
        with installed.replica(**{**installed.webhook_settings, "LISTEN_WEBHOOK": str(port)}) as operator:
            await asyncio.to_thread(operator.wait_until_ready)
            ref = ObjectRef(WEBHOOK_CONFIGURATION, None, installed.name)
            configuration = DynamicApi(plane.client()).get(ref) or {}
            bundle = base64.b64decode(configuration["webhooks"][0]["clientConfig"]["caBundle"])
            trust = ssl.create_default_context(cadata=bundle.decode())
            name = f"{installed.webhook_settings['WEBHOOK_SERVICE']}.{installed.namespace}.svc"
            connector = aiohttp.TCPConnector(ssl=trust, limit=CONNECTIONS)
            url = f"https://127.0.0.1:{port}/validate"
            async with aiohttp.ClientSession(connector=connector) as session:
                client = Client(session, url, name, pid=operator.process.pid)
                await client.most(seconds=2)  # opens all connections, as an API server keeps them
                return await client.steady(rate=rate, seconds=seconds), await client.most(seconds=seconds)


def show(steady: Figures, most: Figures) -> None:
    """Print the figures."""
    table = Table("what", "steady", "most", title="The webhook of one replica, over TLS")
    rows: dict[str, Callable[[Figures], str]] = {
        "reviews a second": lambda one: f"{one.reviews / one.took_s:.0f}",
        "median": lambda one: f"{one.quantile(50) * 1000:.1f} ms",
        "p99": lambda one: f"{one.quantile(99) * 1000:.1f} ms",
        "longest": lambda one: f"{max(one.times) * 1000:.1f} ms",
        "processor of the replica": lambda one: f"{one.cpu_s / one.took_s:.0%} of a core",
        "wrong answers": lambda one: str(one.wrong),
    }
    for what, of in rows.items():
        table.add_row(what, of(steady), of(most))
    console.print(table)


def main() -> int:
    """Measure, print, and tell by the exit status whether all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=100, help="reviews a second")
    parser.add_argument("--seconds", type=float, default=20, help="how long each part takes")
    options = parser.parse_args()
    steady, most = asyncio.run(measure(rate=options.rate, seconds=options.seconds))
    show(steady, most)
    met = not steady.wrong and not most.wrong and steady.quantile(99) < LIMIT_S
    console.print(f"{'met' if met else 'MISSED'}: every answer right, p99 below {LIMIT_S * 1000:.0f} ms")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
