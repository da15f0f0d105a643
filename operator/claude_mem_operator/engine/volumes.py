"""Making a store's volume larger. The claim is changed itself: a StatefulSet's template of it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.api import quantity
from claude_mem_operator.kube.errors import Forbidden, Invalid, NamespaceTerminating
from claude_mem_operator.kube.kinds import VOLUME_CLAIM
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from claude_mem_operator.desired.types import Claim
    from claude_mem_operator.kube.port import KubeApi, Manifest


def storage_of(claim: Manifest) -> str:
    """The size that a claim, or a claim template, asks for."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def grow(kube: KubeApi, claim: Claim, *, namespace: str, refused: set[tuple[str, str]]) -> str | None:
    """Ask for the claim's size, if the volume is smaller; the words for an Event, or None where nothing was done.

    A claim that is larger is left: volumes do not shrink. `refused` is kept between runs: what the cluster
    refused once is not asked for again. Raises Invalid where it refuses now.
    """
    ref = ObjectRef(VOLUME_CLAIM, namespace, claim.name)
    live = kube.get(ref)
    if live is None or live["metadata"].get("deletionTimestamp"):
        return None
    asked = storage_of(live)
    if quantity(claim.storage) <= quantity(asked):
        return None
    key = (live["metadata"]["uid"], claim.storage)
    words = f"volume claim {claim.name} cannot grow from {asked} to {claim.storage}"
    if key in refused:
        raise Invalid(f"{words}: its StorageClass does not allow it")
    try:
        kube.patch(ref, {"spec": {"resources": {"requests": {"storage": claim.storage}}}})
    except NamespaceTerminating:
        raise
    except (Forbidden, Invalid) as error:
        refused.add(key)
        raise Invalid(f"{words}: {error}") from None
    return f"volume claim {claim.name} grows from {asked} to {claim.storage}"
