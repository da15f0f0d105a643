"""The operator's command, and kopf, which watches and does nothing else.

kopf runs in a thread of its own, with an event loop of its own, and its handlers only pass on what they are
told. None of them stores anything in an object: no finalizer, no annotation, no Event comes from kopf. Everything
else is left to `process`.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import sys
from typing import TYPE_CHECKING, Any, Final

import kopf

from claude_mem_operator.config import Config, ConfigInvalid
from claude_mem_operator.desired.names import PREFIX
from claude_mem_operator.kube import kinds
from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.logs import configure
from claude_mem_operator.process import Operator
from claude_mem_operator.refusals import Refusals
from claude_mem_operator.watched import LABEL, labelled_kinds

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from claude_mem_operator.kube.port import Kind, Manifest

logger = logging.getLogger(__name__)

#: Whose lines tell of requests of watches.
_WATCHES: Final = "kopf._cogs.clients.watching"
#: Secrets that no resource reads, and that may be many and large.
_SECRETS: Final = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"
_CONFIG_MAPS: Final = "metadata.name!=kube-root-ca.crt"
#: Pauses between kopf's tries of a request, in seconds: about half an hour, then the process starts anew.
_BACKOFFS: Final = (1, 1, 2, 3, *([5] * 360))


def watch(
    served: Sequence[Kind],
    notice: Callable[[Kind, str | None, Manifest], None],
    refused: Callable[[str, str], None],
    *,
    namespaces: Sequence[str],
    stop: threading.Event,
    ready: threading.Event,
) -> None:
    """Have kopf watch; see `process.Watcher`."""
    # Nothing else of kopf's says what it was refused.
    said, refusals = logging.getLogger(_WATCHES), Refusals(refused)
    said.addFilter(refusals)
    try:
        kopf.run(
            registry=_registry(served, notice),
            settings=_settings(),
            clusterwide=not namespaces,
            namespaces=namespaces,
            standalone=True,
            stop_flag=stop,
            ready_flag=ready,
        )
    finally:
        said.removeFilter(refusals)


def _registry(
    served: Sequence[Kind], notice: Callable[[Kind, str | None, Manifest], None]
) -> kopf.OperatorRegistry:
    """Kopf's handlers: one for each kind, which only passes on what it is told."""
    registry = kopf.OperatorRegistry()
    kopf.on.login(registry=registry)(kopf.login_via_client)
    for kind in (kinds.CLAUDE_MEM_SERVER, *served):

        async def handle(event: Any, kind: Kind = kind, **_: Any) -> None:
            notice(kind, event["type"], event["object"])

        kopf.on.event(kind.group, kind.version, kind.plural, registry=registry, id=f"notice-{kind.plural}")(
            handle
        )
    return registry


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.process.ultimate_exiting_timeout = None
    # Never put on, but taken away where kopf finds it without need: so it must not be the engine's own.
    settings.persistence.finalizer = f"{PREFIX}/kopf"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=PREFIX, v1=False)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=PREFIX)
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 10
    settings.networking.error_backoffs = _BACKOFFS
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10
    settings.watching.chunk_size = 100
    for kind in labelled_kinds():
        settings.watching.label_selectors[kind.group, kind.version, kind.plural] = "=".join(LABEL)
    settings.watching.field_selectors["", "v1", kinds.SECRET.plural] = _SECRETS
    settings.watching.field_selectors["", "v1", kinds.CONFIG_MAP.plural] = _CONFIG_MAPS
    return settings


def main(arguments: Sequence[str] | None = None) -> int:
    """The command `claude-mem-operator`. The exit status is 78 for settings that mean nothing."""
    parser = argparse.ArgumentParser(
        prog="claude-mem-operator", description="Look after ClaudeMemServer resources."
    )
    parser.add_argument("command", nargs="?", choices=["run"], default="run", help="what to do")
    parser.parse_args(arguments)
    try:
        config = Config.read()
    except ConfigInvalid as error:
        sys.stderr.write(f"{error}\n")
        return 78
    configure(level=config.log_level, form=config.log_format)
    # It would warn that it leaves signals alone, which is as it should be.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)
    # What was imported stays. Looking through it for cycles holds up reviews, for tens of milliseconds each time.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(Operator(config, watch).run())
    except (KubeError, OSError) as error:  # no API server, or a port that is taken
        logger.error("the operator cannot start: %s", error)  # noqa: TRY400 - the words say it
        return 1
    except BaseExceptionGroup as group:
        for failure in group.exceptions:
            logger.error("the operator ends: %s: %s", type(failure).__name__, failure)  # noqa: TRY400
        return 1
    return 0
