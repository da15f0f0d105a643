"""Which children are no longer wanted, and when they may go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem_operator.engine.apply import belongs_to
from claude_mem_operator.kube.kinds import CHILD_KINDS, EDGE_KINDS, ref_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from claude_mem_operator.kube.port import Manifest, ObjectRef


def unwanted(
    children: Mapping[ObjectRef, Manifest], wanted: Iterable[Manifest], *, uid: str, settled: bool
) -> list[ObjectRef]:
    """Children of the resource with this uid that are in no manifest.

    Edges go at once: an autoscaler that is switched off must not go on scaling. What others may still use (an
    earlier Job's success, a store that pods are being moved away from) goes once everything new is in place
    (`settled`). Only what has both label and owner reference, and is of a kind that the operator makes. In the order
    of their names.
    """
    kept = {ref_of(manifest) for manifest in wanted}
    going = [
        ref
        for ref, live in children.items()
        if ref not in kept
        and ref.kind in CHILD_KINDS
        and (settled or ref.kind in EDGE_KINDS)
        and belongs_to(live, uid)
        and not live["metadata"].get("deletionTimestamp")
    ]
    return sorted(going, key=str)
