"""One replica of the operator: what it is made of, how it starts, who may act, how it ends.

Who watches is given to it; what is done about what a watch tells of is left to `engine`.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from claude_mem_operator.config import WebhookMode
from claude_mem_operator.desired import Defaults
from claude_mem_operator.engine.reconcile import Engine
from claude_mem_operator.engine.runner import Runner, asked_of
from claude_mem_operator.health import Health, WatchLedger
from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.dynamic import connect
from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.kube.fenced import FencedApi
from claude_mem_operator.kube.port import ObjectRef
from claude_mem_operator.leadership import Leadership
from claude_mem_operator.metrics import Metrics
from claude_mem_operator.watched import is_labelled
from claude_mem_operator.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from claude_mem_operator.config import Config
    from claude_mem_operator.kube.port import Kind, Manifest

logger = logging.getLogger(__name__)

#: What readiness waits for.
_WATCHES: Final = "the first list of every watch"
_CERTIFICATE: Final = "the webhook's certificate"
_RETRY_S: Final = 2.0


class Watcher(Protocol):
    """Watches until it is stopped. Blocks."""

    def __call__(
        self,
        served: Sequence[Kind],
        notice: Callable[[Kind, str | None, Manifest], None],
        refused: Callable[[str, str], None],
        *,
        namespaces: Sequence[str],
        stop: threading.Event,
        ready: threading.Event,
    ) -> None:
        """Watch the resource and these kinds of children, in all namespaces where none is named.

        `notice` is called with each event's kind, type (None for what was there at first) and object, in any
        thread; `refused` with the verb and the kind of a watch that goes on being refused. `ready` is set once
        watching has begun.
        """
        ...


class Operator:
    """One replica. `watcher` watches, in a thread that it is given."""

    def __init__(self, config: Config, watcher: Watcher) -> None:
        self._config = config
        self._watcher = watcher
        self._metrics = Metrics()
        self._api = connect(connections=config.concurrency + 4)
        self._api.observe = self._metrics.called
        self._leadership = Leadership(
            self._api,
            namespace=config.namespace,
            name=config.lease_name,
            identity=config.identity,
            duration_s=config.lease_s,
            owner=config.deployment,
        )
        self._ledger = WatchLedger()
        engine = Engine(
            FencedApi(self._api, leading=self._leadership.leading),
            defaults=Defaults(
                runtime_image=config.runtime_image,
                postgres_image=config.postgres_image,
                valkey_image=config.valkey_image,
            ),
            operator_environment=config.workload_environment,
            on_read=self._ledger.read,
        )
        self._runner = Runner(
            engine,
            concurrency=config.concurrency,
            resync_s=config.resync_s,
            observe=self._metrics.reconciled,
        )
        self._health = Health(
            ledger=self._ledger,
            stuck_s=self._runner.longest_run,
            heartbeat=self._leadership.heartbeat,
        )
        self._health.await_(_WATCHES)
        self._metrics.watch(
            leading=self._leadership.leading,
            phases=self._runner.phases,
            queue=self._runner.queue,
            staleness=self._ledger.staleness,
            oldest_run=self._runner.longest_run,
        )
        self._stop_watching = threading.Event()

    async def run(self) -> None:
        """Work until SIGTERM or SIGINT. Raises what a part fails with: the process is better started anew."""
        self._loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, stopping.set)
        sites = [
            await _listen(self._config.metrics_port, {"/metrics": self._answer_metrics}),
            await _listen(
                self._config.probes_port, {"/healthz": self._answer_health, "/readyz": self._answer_ready}
            ),
        ]
        work = asyncio.create_task(self._work())
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await work
        finally:
            self._stop_watching.set()
            stop.cancel()
            work.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(work, return_exceptions=True)
            await asyncio.to_thread(self._leadership.release)
            self._runner.close()
            for site in sites:
                await site.cleanup()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            if self._config.webhook is not WebhookMode.OFF:
                self._health.await_(_CERTIFICATE)
                webhook = Webhook(
                    self._config,
                    self._api,
                    metrics=self._metrics,
                    leading=self._leadership.leading,
                    opened=partial(self._health.present, _CERTIFICATE),
                )
                tasks.create_task(webhook.run())
            tasks.create_task(self._leadership.run(begin=partial(self._begin, tasks), end=self._end))
            tasks.create_task(self._watch())

    async def _begin(self, tasks: asyncio.TaskGroup) -> None:
        self._runner.start(())
        tasks.create_task(self._wake_all())

    async def _end(self) -> None:
        await self._runner.stop()
        self._ledger.reset()

    async def _wake_all(self) -> None:
        """Look at every resource, whatever the watches told of before this replica led."""
        told: set[str] = set()
        while self._leadership.leading():
            try:
                found = await asyncio.to_thread(self._list)
            except KubeError as error:
                if str(error) not in told:
                    logger.warning("the resources cannot be listed: %s", error)
                    told.add(str(error))
                await asyncio.sleep(_RETRY_S)
            else:
                self._runner.start(found)
                return

    def _list(self) -> list[ObjectRef]:
        return [
            ObjectRef(kinds.CLAUDE_MEM_SERVER, one["metadata"]["namespace"], one["metadata"]["name"])
            for namespace in self._config.namespaces or (None,)
            for one in self._api.list(kinds.CLAUDE_MEM_SERVER, namespace)
        ]

    async def _watch(self) -> None:
        """Watch, once there is something to watch."""
        served = await self._served()
        self._ledger.follow((kinds.CLAUDE_MEM_SERVER, *served))
        ready = threading.Event()
        # The thread ends with its flag; a cancelled await would leave it running.
        watching = asyncio.create_task(
            asyncio.to_thread(
                self._watcher,
                served,
                self._notice,
                partial(self._metrics.called, outcome="Forbidden"),
                namespaces=self._config.namespaces,
                stop=self._stop_watching,
                ready=ready,
            )
        )
        marking = asyncio.create_task(self._mark(ready))
        try:
            await asyncio.shield(watching)
            if not self._stop_watching.is_set():
                raise RuntimeError("the watches have ended; the log says why")
        finally:
            marking.cancel()
            self._stop_watching.set()
            await asyncio.gather(watching, return_exceptions=True)

    async def _mark(self, ready: threading.Event) -> None:
        while not await asyncio.to_thread(ready.wait, 1.0):
            pass
        self._health.present(_WATCHES)

    async def _served(self) -> tuple[Kind, ...]:
        """The kinds to watch. Waits for the resource's own: its CRD may be installed after the operator."""
        told = False
        while True:
            try:
                served = await asyncio.to_thread(self._look_for_kinds)
            except KubeError as error:
                logger.warning("the API server cannot be asked which kinds it serves: %s", error)
            else:
                if served is not None:
                    return served
                if not told:
                    logger.warning("waiting for the CustomResourceDefinition of ClaudeMemServer: install it")
                    told = True
            await asyncio.sleep(_RETRY_S)

    def _look_for_kinds(self) -> tuple[Kind, ...] | None:
        if not self._api.serves(kinds.CLAUDE_MEM_SERVER):
            return None
        return tuple(
            kind for kind in kinds.CHILD_KINDS if kind not in kinds.OPTIONAL_KINDS or self._api.serves(kind)
        )

    def _notice(self, kind: Kind, event: str | None, obj: Manifest) -> None:
        """Wake whom an event concerns. Called in the watching thread."""
        self._ledger.told(obj, gone=event == "DELETED")
        metadata = obj["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        if kind == kinds.CLAUDE_MEM_SERVER:
            asked = asked_of(obj, gone=event == "DELETED")
            wake = partial(self._runner.wake, ObjectRef(kind, namespace, name), asked=asked)
        else:
            owner = _owner(metadata)
            if owner is not None:
                wake = partial(self._runner.wake, ObjectRef(kinds.CLAUDE_MEM_SERVER, namespace, owner))
            elif event is not None:
                wake = partial(self._runner.wake_referring, namespace, kind.kind, name)
            else:
                return
        with suppress(RuntimeError):  # the process is ending
            self._loop.call_soon_threadsafe(wake)

    async def _answer_metrics(self, _request: web.Request) -> web.Response:
        body = generate_latest(self._metrics.registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _answer_health(self, _request: web.Request) -> web.Response:
        return _answer(self._health.unwell())

    async def _answer_ready(self, _request: web.Request) -> web.Response:
        return _answer(self._health.unready())


def _answer(problems: list[str]) -> web.Response:
    return web.Response(text="\n".join(problems) or "ok", status=503 if problems else 200)


async def _listen(port: int, routes: dict[str, Any]) -> web.AppRunner:
    app = web.Application()
    app.add_routes([web.get(path, answer) for path, answer in routes.items()])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, None, port).start()
    return runner


def _owner(metadata: Manifest) -> str | None:
    """The name of the resource that a child belongs to, also where an edit took its reference or its labels."""
    for owner in metadata.get("ownerReferences", ()):
        if owner.get("kind") == kinds.CLAUDE_MEM_SERVER.kind:
            return str(owner["name"])
    if is_labelled(metadata):
        instance: str | None = metadata["labels"].get("app.kubernetes.io/instance")
        return instance
    return None
