"""Which objects the watches tell of: of most kinds the children only, picked by a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from claude_mem_operator.desired.names import MANAGER
from claude_mem_operator.kube import kinds

if TYPE_CHECKING:
    from claude_mem_operator.kube.port import Kind, Manifest

#: What a watch of a labelled kind asks for. Who takes the label off has the watch tell of a deletion.
LABEL: Final = ("app.kubernetes.io/managed-by", MANAGER)
#: Of these, those of users matter, too; of all other kinds children only.
REFERRED_TO: Final = (kinds.SECRET, kinds.CONFIG_MAP)


def labelled_kinds() -> tuple[Kind, ...]:
    """The kinds whose watches ask for `LABEL`."""
    return tuple(kind for kind in kinds.CHILD_KINDS if kind not in REFERRED_TO)


def is_told_of(obj: Manifest) -> bool:
    """Whether a watch of the object's kind tells of it, as it is labelled."""
    return (obj["apiVersion"], obj["kind"]) not in _LABELLED or is_labelled(obj["metadata"])


def is_labelled(metadata: Manifest) -> bool:
    """Whether an object's metadata has `LABEL`."""
    name, value = LABEL
    return (metadata.get("labels") or {}).get(name) == value


_LABELLED: Final = frozenset((kind.api_version, kind.kind) for kind in labelled_kinds())
