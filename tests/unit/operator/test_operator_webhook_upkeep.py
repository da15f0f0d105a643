"""One replica's listener: it serves what is in the Secret, also while the certificates cannot be kept up."""

from __future__ import annotations

import asyncio
import base64
from contextlib import suppress
from datetime import UTC, datetime

import pytest

from claude_mem_operator.admission import pki
from claude_mem_operator.config import Config
from claude_mem_operator.kube.errors import Forbidden
from claude_mem_operator.kube.port import ObjectRef
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


@pytest.mark.parametrize("leading", [True, False])
async def test_a_replica_that_cannot_keep_certificates_up_serves_what_there_is(leading: bool) -> None:
    config = Config.read(
        {
            "CLAUDE_MEM_OPERATOR_NAMESPACE": "system",
            "CLAUDE_MEM_OPERATOR_LISTEN_WEBHOOK": str(free_port()),
        }
    )
    api = MemoryApi()
    metadata = {"name": config.webhook_secret, "namespace": "system"}
    api.create({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": leaf(config)})
    refused = []

    def refuse(verb: str, ref: ObjectRef) -> None:
        refused.append(ref.name)
        raise Forbidden(f"{verb} {ref}: no right to do so")

    api.before_write = refuse
    opened = asyncio.Event()
    webhook = Webhook(config, api, metrics=Metrics(), leading=lambda: leading, opened=opened.set)
    running = asyncio.create_task(webhook.run())
    try:
        async with asyncio.timeout(60):
            await opened.wait()
        assert await asyncio.to_thread(is_listening, config.webhook_port)
        assert bool(refused) == leading
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
