"""One replica's listener: it serves what is in the Secret, also while the certificates cannot be kept up."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest

from claude_mem_operator.admission import pki
from claude_mem_operator.config import Config
from claude_mem_operator.kube.errors import Forbidden
from claude_mem_operator.kube.port import Manifest, ObjectRef
from claude_mem_operator.metrics import Metrics
from claude_mem_operator.webhook import Webhook
from tests.support.kube_memory import MemoryApi
from tests.support.ports import free_port, is_listening


def leaf(config: Config) -> dict[str, str]:
    """A leaf whose authority is not to be found in the cluster, so that it is due to be replaced."""
    now = datetime.now(UTC)
    names = pki.service_names(config.webhook_service, config.namespace)
    pair = pki.issue_leaf(pki.issue_authority(now=now), names=names, now=now)
    parts = {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


def configuration() -> Config:
    port = str(free_port())
    return Config.read(
        {"CLAUDE_MEM_OPERATOR_NAMESPACE": "system", "CLAUDE_MEM_OPERATOR_LISTEN_WEBHOOK": port}
    )


def with_a_leaf(config: Config) -> MemoryApi:
    api = MemoryApi()
    metadata = {"name": config.webhook_secret, "namespace": "system"}
    api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": leaf(config)})
    return api


@asynccontextmanager
async def listening(config: Config, api: MemoryApi, *, leading: bool) -> AsyncIterator[asyncio.Task[None]]:
    """A replica's webhook that has opened its port."""
    opened = asyncio.Event()
    webhook = Webhook(config, api, metrics=Metrics(), leading=lambda: leading, opened=opened.set)
    running = asyncio.create_task(webhook.run())
    try:
        async with asyncio.timeout(60):
            await opened.wait()
        yield running
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("leading", [True, False])
async def test_a_replica_that_cannot_keep_certificates_up_serves_what_there_is(leading: bool) -> None:
    config = configuration()
    api = with_a_leaf(config)
    refused = []

    def refuse(verb: str, ref: ObjectRef) -> None:
        refused.append(ref.name)
        raise Forbidden(f"{verb} {ref}: no right to do so")

    api.before_write = refuse
    async with listening(config, api, leading=leading):
        assert await asyncio.to_thread(is_listening, config.webhook_port)
        assert bool(refused) == leading


async def test_a_defect_in_the_upkeep_is_told_and_takes_nothing_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = configuration()
    api = with_a_leaf(config)
    secret = "".join(("hunter", "2"))

    def break_down(_verb: str, _ref: ObjectRef) -> None:
        raise TypeError(secret)

    api.before_write = break_down
    async with listening(config, api, leading=True) as running:
        assert not running.done()
        (told,) = {line.levelname for line in caplog.records if "keeping the webhook's" in line.getMessage()}
        assert told == "ERROR"
        assert "TypeError" in caplog.text
        assert secret not in caplog.text


async def test_a_defect_in_looking_at_the_secret_is_told_and_tried_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Breaking(MemoryApi):
        broken = True

        def get(self, ref: ObjectRef) -> Manifest | None:
            if self.broken:
                self.broken = False
                raise TypeError
            return super().get(ref)

    config = configuration()
    api = Breaking()
    api.objects = with_a_leaf(config).objects
    async with listening(config, api, leading=False):
        assert "a defect of the operator while looking after the webhook: TypeError" in caplog.text
