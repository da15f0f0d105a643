"""What is done before a resource goes: its volumes, which garbage collection cannot decide about.

Everything else goes with its owner. A retained Secret has no owner, and stays.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING, Final

from claude_mem_operator.api import ClaudeMemServer, InvalidResource
from claude_mem_operator.desired.names import OWNER_LABEL, PREFIX, Component, claim_name, credentials_name
from claude_mem_operator.engine.apply import belongs_to
from claude_mem_operator.engine.conditions import EVENTS
from claude_mem_operator.engine.events import instant, record
from claude_mem_operator.kube.errors import Forbidden, KubeError, NotFound, NotLeading
from claude_mem_operator.kube.kinds import (
    CLAUDE_MEM_SERVER,
    NAMESPACE,
    SECRET,
    STATEFUL_SET,
    VOLUME_CLAIM,
    ref_of,
)
from claude_mem_operator.kube.port import ObjectRef
from claude_mem_operator.logs import written

if TYPE_CHECKING:
    from collections.abc import Callable

    from claude_mem_operator.kube.port import KubeApi, Manifest

logger = logging.getLogger(__name__)

FINALIZER: Final = f"{PREFIX}/cleanup"
#: After how many seconds of trying the resource is let go in any case.
DEADLINE_S: Final = 60.0
_STORES: Final = (Component.POSTGRES, Component.VALKEY)


def finalize(kube: KubeApi, raw: Manifest, *, now: Callable[[], datetime]) -> None:
    """Do what deletion has to do, then take the finalizer away.

    Raises what the API server refuses, unless a minute has passed or the namespace goes too: then the
    finalizer is given up all the same.
    """
    if FINALIZER not in raw["metadata"].get("finalizers", ()):
        return
    if not namespace_ends(kube, raw["metadata"]["namespace"]):
        began = datetime.fromisoformat(raw["metadata"]["deletionTimestamp"])
        try:
            reason = _clean(kube, raw)
        except NotLeading:
            raise
        except KubeError as error:
            if (now() - began).total_seconds() < DEADLINE_S:
                raise
            _tell(kube, raw, "Released", f"volumes and credentials were left as they are: {error}", now())
        else:
            if reason is not None:
                _tell(kube, raw, reason, EVENTS[reason][1], now())
    _release(kube, raw)


def namespace_ends(kube: KubeApi, namespace: str) -> bool:
    """Whether the namespace is being deleted; no, where the operator may not look."""
    try:
        found = kube.get(ObjectRef(NAMESPACE, None, namespace))
    except Forbidden:
        return False
    return found is None or bool(found["metadata"].get("deletionTimestamp"))


def _clean(kube: KubeApi, raw: Manifest) -> str | None:
    try:
        resource = ClaudeMemServer.parse(raw)
    except InvalidResource:
        return "Retained"  # what it asked for cannot be read: nothing is destroyed on a guess
    if resource.spec.deletion_policy == "Retain":
        return "Retained" if resource.spec.postgres.managed else None
    namespace, uid = resource.metadata.namespace, resource.metadata.uid
    # First what would make the claims again.
    for live in kube.list(STATEFUL_SET, namespace, {OWNER_LABEL: uid}):
        if belongs_to(live, uid) and not live["metadata"].get("deletionTimestamp"):
            _delete(kube, resource, live)
    for component in _STORES:
        claim = kube.get(ObjectRef(VOLUME_CLAIM, namespace, claim_name(resource, component)))
        if claim is not None and _is_claim_of(resource, claim):
            _delete(kube, resource, claim)
        secret = kube.get(ObjectRef(SECRET, namespace, credentials_name(resource, component)))
        if secret is not None and belongs_to(secret, uid):
            _delete(kube, resource, secret)
    return None


def _is_claim_of(resource: ClaudeMemServer, claim: Manifest) -> bool:
    labels = claim["metadata"].get("labels") or {}
    named = labels.get("app.kubernetes.io/instance") == resource.metadata.name
    return named and not claim["metadata"].get("deletionTimestamp")


def _delete(kube: KubeApi, resource: ClaudeMemServer, live: Manifest) -> None:
    ref = ref_of(live)
    if kube.delete(ref, uid=live["metadata"]["uid"]):
        asked = f"{resource.metadata.namespace}/{resource.metadata.name}"
        written(logger, ref, reason="deleted: the resource was, with deletionPolicy Delete", resource=asked)


def _release(kube: KubeApi, raw: Manifest) -> None:
    metadata = raw["metadata"]
    ref = ObjectRef(CLAUDE_MEM_SERVER, metadata["namespace"], metadata["name"])
    kept = [name for name in metadata["finalizers"] if name != FINALIZER]
    try:
        kube.patch(ref, {"metadata": {"finalizers": kept, "resourceVersion": metadata["resourceVersion"]}})
    except NotFound:
        return


def _tell(kube: KubeApi, raw: Manifest, reason: str, message: str, now: datetime) -> None:
    record(kube, raw, event=EVENTS[reason][0], reason=reason, message=message, now=instant(now))
