"""Making a store's volume larger. The claim is changed itself: a StatefulSet's template of it cannot be."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from claude_mem_operator.api import quantity
from claude_mem_operator.engine.backoff import Backoff
from claude_mem_operator.kube.errors import Forbidden, Invalid, KubeError, NamespaceTerminating
from claude_mem_operator.kube.kinds import VOLUME_CLAIM
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import MutableMapping
    from datetime import datetime

    from claude_mem_operator.desired.types import Claim
    from claude_mem_operator.kube.port import KubeApi, Manifest


class NotGrown(KubeError):
    """Raised when the cluster does not let a volume grow; `again_s` is in how many seconds it is asked again."""

    def __init__(self, message: str, *, again_s: float) -> None:
        super().__init__(message)
        self.again_s = again_s


@dataclass(slots=True)
class Refusal:
    """What the cluster refused for one claim: `growth` is the volume's uid and both sizes; it is asked again at `again`."""

    growth: tuple[str, str, str]
    again: datetime
    words: str = ""
    backoff: Backoff = field(default_factory=lambda: Backoff(random.random))


def storage_of(claim: Manifest) -> str:
    """The size that a claim, or a claim template, asks for."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def grow(
    kube: KubeApi, claim: Claim, *, namespace: str, refused: MutableMapping[str, Refusal], now: datetime
) -> str | None:
    """Ask for the claim's size, if the volume is smaller; the words for an Event, or None where nothing was done.

    A claim that is larger is left: volumes do not shrink. Raises NotGrown where the cluster refuses. Why it does (a
    StorageClass, a quota) may change without a word to the operator, so it is asked again after a growing pause, until
    when its words stay as they were. `refused` has those by name of the claim, and is kept between runs.
    """
    ref = ObjectRef(VOLUME_CLAIM, namespace, claim.name)
    live = kube.get(ref)
    if live is None or live["metadata"].get("deletionTimestamp"):
        return None
    asked = storage_of(live)
    if quantity(claim.storage) <= quantity(asked):
        refused.pop(claim.name, None)
        return None
    growth = (live["metadata"]["uid"], asked, claim.storage)
    refusal = refused.get(claim.name)
    if refusal is None or refusal.growth != growth:
        refusal = Refusal(growth, again=now)
    if refusal.again <= now:
        try:
            kube.patch(ref, {"spec": {"resources": {"requests": {"storage": claim.storage}}}})
        except NamespaceTerminating:
            raise
        except (Forbidden, Invalid) as error:
            refusal.words = f"volume claim {claim.name} cannot grow from {asked} to {claim.storage}: {error}"
            refusal.again = now + timedelta(seconds=refusal.backoff.failed(generation=None))
            refused[claim.name] = refusal
        else:
            refused.pop(claim.name, None)
            return f"volume claim {claim.name} grows from {asked} to {claim.storage}"
    raise NotGrown(refusal.words, again_s=(refusal.again - now).total_seconds())
