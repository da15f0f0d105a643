"""Keeps the webhook's listener in service: opens it once there is a certificate, and takes every new one.

Every replica serves; the certificate is made and rotated by the one that leads. What is allowed is left to
`admission.judge`, the certificates' steps to `admission.certificates`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from claude_mem_operator.admission.certificates import Certificates, Place, serving_pair
from claude_mem_operator.admission.judge import judge
from claude_mem_operator.admission.pki import service_names
from claude_mem_operator.admission.server import AdmissionServer
from claude_mem_operator.config import WebhookMode
from claude_mem_operator.kube.errors import KubeError
from claude_mem_operator.logs import defect

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem_operator.admission.pki import KeyPair
    from claude_mem_operator.config import Config
    from claude_mem_operator.kube.port import KubeApi
    from claude_mem_operator.metrics import Metrics

logger = logging.getLogger(__name__)

#: Between two looks at the Secret, in seconds: at first, and once the listener is open.
_WAITING_S: Final = 1.0
_SERVING_S: Final = 5.0
#: Between two looks of the leader at authority, leaf and `caBundle`, in seconds: for how long nothing can be applied
#: after somebody replaced the webhook configuration.
_UPKEEP_S: Final = 10.0


class Webhook:
    """The listener of one replica. `opened` is called once it answers."""

    def __init__(
        self,
        config: Config,
        kube: KubeApi,
        *,
        metrics: Metrics,
        leading: Callable[[], bool],
        opened: Callable[[], None],
    ) -> None:
        self._config = config
        self._kube = kube
        self._metrics = metrics
        self._leading = leading
        self._opened = opened
        self._server = AdmissionServer(
            partial(judge, operator_environment=config.workload_environment),
            port=config.webhook_port,
            observe=metrics.reviewed,
        )
        self._certificates = Certificates(kube, _place(config))
        self._maintained: float | None = None

    async def run(self) -> None:
        """Serve until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except KubeError as error:
                    logger.warning("the webhook's certificate cannot be looked at: %s", error)
                except ssl.SSLError as error:
                    logger.error("the webhook's certificate cannot be served: %s", error.reason)  # noqa: TRY400
                except OSError:  # a port that is taken does not become free by waiting
                    raise
                except Exception as error:
                    # Nobody foresaw it, so it may come again: ending would take the operator down with the webhook.
                    defect(logger, error, doing="looking after the webhook")
                await asyncio.sleep(_SERVING_S if self._server.serving else _WAITING_S)
        finally:
            await self._server.stop()

    async def _look(self) -> None:
        if self._config.webhook is WebhookMode.OWN and self._leading() and self._is_due():
            await self._keep_up()
        pair = await asyncio.to_thread(
            serving_pair, self._kube, namespace=self._config.namespace, secret=self._config.webhook_secret
        )
        if pair is not None:
            await self._serve(pair)

    async def _keep_up(self) -> None:
        """Make the steps that are due. Where they fail, what there is goes on being served."""
        try:
            upkeep = await asyncio.to_thread(self._certificates.maintain)
        except KubeError as error:
            logger.warning("the webhook's certificates cannot be kept up, and will be tried again: %s", error)
            return
        except Exception as error:
            defect(logger, error, doing="keeping the webhook's certificates up")
            return
        for step in upkeep.steps:
            logger.info("webhook certificates: %s", step)
        self._maintained = time.monotonic() if upkeep.has_configuration else None

    async def _serve(self, pair: KeyPair) -> None:
        serving = self._server.serving
        if serving is not None and serving.certificate == pair.certificate:
            return
        if serving is None:
            await self._server.start(pair)
            self._opened()
        else:
            self._server.use(pair)
        self._metrics.certified(pair.certificate.not_valid_after_utc)
        logger.info("the webhook serves a certificate until %s", pair.certificate.not_valid_after_utc)

    def _is_due(self) -> bool:
        return self._maintained is None or time.monotonic() - self._maintained >= _UPKEEP_S


def _place(config: Config) -> Place:
    return Place(
        namespace=config.namespace,
        authority_secret=config.webhook_ca_secret,
        leaf_secret=config.webhook_secret,
        configuration=config.webhook_configuration,
        service=config.webhook_service,
        names=service_names(config.webhook_service, config.namespace, domain=config.cluster_domain),
    )
