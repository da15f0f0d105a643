"""The managed Valkey: one pod with one volume, which appends every write to a file and evicts nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired import pods
from claude_mem_operator.desired.credentials import PASSWORD_KEY
from claude_mem_operator.desired.names import VALKEY_PORT, Component, credentials_name
from claude_mem_operator.desired.stores import store_manifests

if TYPE_CHECKING:
    from claude_mem_operator.api import ManagedValkey
    from claude_mem_operator.desired.context import Context
    from claude_mem_operator.desired.types import Manifest

#: The variables from which valkey-cli takes the password, so that it is on no command line; the first is that of
#: Redis, which older releases know alone.
_AUTH: Final = ("REDISCLI_AUTH", "VALKEYCLI_AUTH")

# The password comes in a file of the pod's own memory: what is in a command can be read by anybody on the node.
_SCRIPT: Final = """\
umask 077
printf 'requirepass "%s"\\n' "$REDISCLI_AUTH" > /tmp/valkey.conf
exec valkey-server /tmp/valkey.conf "$@"
"""

_SETTINGS: Final = {
    "dir": "/data",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory-policy": "noeviction",
}

# valkey-cli succeeds with any answer, also "LOADING" and "NOAUTH".
_PING: Final = pods.shell('[ "$(valkey-cli ping)" = PONG ]')
_GRACE_S: Final = 30


def build(context: Context, managed: ManagedValkey) -> tuple[Manifest, ...]:
    """Its Service and its StatefulSet."""
    return store_manifests(
        context, Component.VALKEY, managed, port=VALKEY_PORT, template=_template(context, managed)
    )


def maxmemory(memory: int) -> int:
    """Bytes for data: three quarters of `memory`.

    The rest is for the copies of pages that are written to while the append-only file is rewritten
    (https://valkey.io/topics/admin/).
    """
    return memory * 3 // 4


def _template(context: Context, managed: ManagedValkey) -> Manifest:
    secret = {"name": credentials_name(context.resource, Component.VALKEY), "key": PASSWORD_KEY}
    container = pods.container(
        Component.VALKEY,
        image=managed.image or context.inputs.defaults.valkey_image,
        pull_policy=managed.image_pull_policy,
        command=[*pods.shell(_SCRIPT), "valkey", *_arguments(managed)],
        env=[{"name": name, "valueFrom": {"secretKeyRef": secret}} for name in _AUTH],
        resources=pods.effective_resources(Component.VALKEY, managed.resources),
        mounts=[pods.TMP, {"name": "data", "mountPath": "/data"}],
        ports=[{"name": "valkey", "containerPort": VALKEY_PORT}],
        startupProbe=pods.probe({"exec": {"command": _PING}}, period_s=1, timeout_s=5, failures=600),
        readinessProbe=pods.probe({"exec": {"command": _PING}}, period_s=5, timeout_s=5, failures=3),
        livenessProbe=pods.probe({"exec": {"command": _PING}}, period_s=10, timeout_s=10, failures=6),
    )
    return pods.template(
        context,
        Component.VALKEY,
        place=pods.placement(managed, grace_s=_GRACE_S),
        containers=[container],
        volumes=[pods.scratch("tmp", "1Mi", in_memory=True)],
        references=[f"Secret/{secret['name']}/{PASSWORD_KEY}"],
    )


def _arguments(managed: ManagedValkey) -> list[str]:
    memory = maxmemory(pods.memory_bytes(Component.VALKEY, managed.resources))
    settings = _SETTINGS | {"maxmemory": str(memory)}
    return [part for name, value in settings.items() for part in (f"--{name}", value)]
