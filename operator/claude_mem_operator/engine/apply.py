"""Applying one child: only what differs, never what is somebody else's, and nothing that cannot be changed.

What was last applied stands as a hash in the annotation `claude-mem.dev/applied`; whether it still holds is
told by `ownership`. So a child that is as it should be costs no write.
"""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.desired.names import MANAGER, OWNER_LABEL, RETAINED_LABEL
from claude_mem_operator.engine.ownership import extract, leftover_entry, lost_field, owned_fields
from claude_mem_operator.kube.errors import Conflict, Invalid, KubeError
from claude_mem_operator.kube.kinds import (
    CLAUDE_MEM_SERVER,
    DEPLOYMENT,
    JOB,
    SECRET,
    STATEFUL_SET,
    ref_of,
)

if TYPE_CHECKING:
    from claude_mem_operator.api import Metadata
    from claude_mem_operator.kube.port import KubeApi, Manifest, ObjectRef

#: Writes what an apply cannot bring back; what it then owns is given up at once.
REPAIRER: Final = "claude-mem-operator-repair"
APPLIED: Final = "claude-mem.dev/applied"

#: What Kubernetes does not let anybody change on an existing object, by path.
_IMMUTABLE: Final = {
    STATEFUL_SET: (
        ("spec", "serviceName"),
        ("spec", "selector"),
        ("spec", "podManagementPolicy"),
        ("spec", "volumeClaimTemplates"),
    ),
    DEPLOYMENT: (("spec", "selector"),),
    SECRET: (("type",),),
}


class NameConflict(KubeError):
    """Raised when an object of a child's name belongs to somebody else."""


class StillGoing(KubeError):
    """Raised when an object of a child's name belonged to an earlier resource of the same name, and is being collected."""


class ImmutableField(KubeError):
    """Raised when a child would have to change where Kubernetes does not let it."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of one child: the object as it is now, and why it was written, if it was."""

    live: Manifest
    reason: str | None = None


class Applier:
    """Brings the children of one resource to their manifests.

    `live` are the children that were observed. `unrepairable` is kept between runs: fields that an apply did
    not get, by child, so that they are not tried for ever.
    """

    def __init__(
        self,
        kube: KubeApi,
        *,
        owner: Metadata,
        live: dict[ObjectRef, Manifest],
        unrepairable: dict[ObjectRef, tuple[str, str]],
    ) -> None:
        self._kube = kube
        self._owner = owner
        self._live = live
        self._unrepairable = unrepairable

    def find(self, ref: ObjectRef) -> Manifest | None:
        """The child as it is, also one that lost its label.

        Raises NameConflict where it is not this resource's, and StillGoing where it was an earlier one's.
        """
        live = self._live.get(ref)
        if live is None:
            live = self._kube.get(ref)
            if live is None:
                return None
            if not (belongs_to(live, self._owner.uid) or _is_left_behind(live, self._owner.name)):
                if _is_going(live, self._owner.name):
                    raise StillGoing(
                        f"{ref.kind.kind} {ref.name} of an earlier resource of this name is still being deleted"
                    )
                raise NameConflict(
                    f"{ref.kind.kind} {ref.name} is there already and is not this resource's: "
                    "rename or delete it, or give the resource another name"
                )
            self._live[ref] = live
        return live

    def difference(self, manifest: Manifest) -> str | None:
        """Why `apply` would write, in a word; None where it would not. Raises what `find` does."""
        live = self.find(ref_of(manifest))
        if live is None:
            return "to be created"
        wanted = stamped(manifest)
        if applied_hash(live) != applied_hash(wanted):
            return None if manifest["kind"] == JOB.kind else "changed"
        return "edited" if lost_field(wanted, live, manager=MANAGER) else None

    def apply(self, manifest: Manifest) -> Applied:
        """Make the child so, if it is not.

        Raises what `find` does, ImmutableField, and what the API server refuses.
        """
        ref = ref_of(manifest)
        wanted = stamped(manifest)
        live = self.find(ref)
        if live is None:
            # Without force: an object of that name that appeared in this moment is not ours to take.
            created = self._kube.apply(wanted, field_manager=MANAGER, force=False)
            return self._written(ref, wanted, created, "created")
        if live["metadata"].get("deletionTimestamp"):
            return Applied(live)
        if applied_hash(live) == applied_hash(wanted):
            return self._restored(ref, wanted, live)
        if ref.kind == JOB:  # the name tells its content; what else differs is no reason to migrate again
            return Applied(live)
        refuse_immutable(wanted, live)
        return self._written(ref, wanted, self._kube.apply(wanted, field_manager=MANAGER), "changed")

    def _restored(self, ref: ObjectRef, wanted: Manifest, live: Manifest) -> Applied:
        lost = lost_field(wanted, live, manager=MANAGER)
        if lost is not None and self._unrepairable.get(ref) != (applied_hash(wanted), lost):
            return self._written(ref, wanted, self._repair(ref, wanted, live, lost), f"edited: {lost}")
        leftover = leftover_entry(live, manager=REPAIRER)
        if leftover is not None:
            return Applied(self._give_up(ref, live, leftover), "repaired")
        return Applied(live)

    def _repair(self, ref: ObjectRef, wanted: Manifest, live: Manifest, lost: str) -> Manifest:
        """Undo an edit.

        An apply adds what is missing and leaves what others put beside it. That suits values, but a changed
        element of a list would stay beside the right one, so its whole section is put back.
        """
        section = _section(wanted, lost)
        if section is None:
            return self._kube.apply(wanted, field_manager=MANAGER)
        pointer, value = section
        operations = [
            {"op": "test", "path": "/metadata/uid", "value": live["metadata"]["uid"]},
            {"op": "add", "path": pointer, "value": value},
        ]
        try:
            self._kube.patch(ref, operations, patch_type="json", field_manager=REPAIRER)
        except Invalid:
            if ref.kind != JOB:
                raise
            return live
        repaired = self._kube.apply(wanted, field_manager=MANAGER)
        leftover = leftover_entry(repaired, manager=REPAIRER)
        return repaired if leftover is None else self._give_up(ref, repaired, leftover)

    def _give_up(self, ref: ObjectRef, live: Manifest, entry: int) -> Manifest:
        path = f"/metadata/managedFields/{entry}"
        operations = [
            {"op": "test", "path": f"{path}/manager", "value": REPAIRER},
            {"op": "remove", "path": path},
        ]
        try:
            return self._kube.patch(ref, operations, patch_type="json")
        except (Conflict, Invalid):  # the list moved on: the next run finds the entry again
            return live

    def _written(self, ref: ObjectRef, wanted: Manifest, result: Manifest, reason: str) -> Applied:
        self._live[ref] = result
        lost = lost_field(wanted, result, manager=MANAGER)
        if lost is None:
            self._unrepairable.pop(ref, None)
        else:
            self._unrepairable[ref] = (applied_hash(wanted), lost)
        return Applied(result, reason)


def stamped(manifest: Manifest) -> Manifest:
    """A copy of the manifest with the hash of itself in its annotation. The data of a Secret is left out of it."""
    subject = {
        name: part for name, part in manifest.items() if name != "data" or manifest["kind"] != "Secret"
    }
    text = json.dumps(subject, sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    copied = copy.deepcopy(manifest)
    copied["metadata"].setdefault("annotations", {})[APPLIED] = digest
    return copied


def held(manifest: Manifest, live: Manifest) -> Manifest | None:
    """The manifest with the pod template that runs: its own has to wait. None where nothing is known of that one."""
    if applied_hash(live) == applied_hash(stamped(manifest)):
        return manifest
    running = extract(live, owned_fields(live, manager=MANAGER)).get("spec", {}).get("template")
    if not running:
        return None
    return {**manifest, "spec": {**manifest["spec"], "template": running}}


def applied_hash(manifest: Manifest) -> str:
    """The hash of what was last applied; empty where nothing was."""
    return str((manifest["metadata"].get("annotations") or {}).get(APPLIED, ""))


def belongs_to(live: Manifest, uid: str) -> bool:
    """Whether an object is a child of the resource with this uid: by its owner reference, or as one it retains."""
    metadata = live["metadata"]
    labels = metadata.get("labels") or {}
    retained = labels.get(RETAINED_LABEL) == "true" and labels.get(OWNER_LABEL) == uid
    return retained or any(owner.get("uid") == uid for owner in metadata.get("ownerReferences", ()))


def refuse_immutable(wanted: Manifest, live: Manifest) -> None:
    """Raise ImmutableField where `wanted` differs from `live` in what Kubernetes does not change."""
    ref = ref_of(wanted)
    for path in _IMMUTABLE.get(ref.kind, ()):
        new, old = _at(wanted, path), _at(live, path)
        if new is not None and not _covers(old, new):
            raise ImmutableField(
                f"{ref.kind.kind} {ref.name}: {'.'.join(path)} cannot be changed on an existing object; "
                "take the change back, or delete the object so that it is made anew"
            )


def _is_left_behind(live: Manifest, name: str) -> bool:
    """Whether an object without an owner was applied by this operator for a resource of this name.

    It outlived an earlier resource on purpose, or somebody took away what says whose it is. One that another
    resource retains says that other's name, and is not to be taken while it may be in use.
    """
    metadata = live["metadata"]
    if (metadata.get("labels") or {}).get("app.kubernetes.io/instance", name) != name:
        return False
    applied = any(
        entry.get("manager") == MANAGER and entry.get("operation") == "Apply"
        for entry in metadata.get("managedFields", ())
    )
    return applied and not metadata.get("ownerReferences")


def _is_going(live: Manifest, name: str) -> bool:
    """Whether a resource of this name, but of another uid, owned the object: garbage collection takes it away."""
    owners = live["metadata"].get("ownerReferences", ())
    return any(owner["kind"] == CLAUDE_MEM_SERVER.kind and owner["name"] == name for owner in owners)


def _at(manifest: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        manifest = manifest.get(name) if isinstance(manifest, dict) else None
    return manifest


def _covers(old: Any, new: Any) -> bool:
    """Whether `old` has all of `new`; what the server added by default does not count."""
    if isinstance(new, dict):
        return isinstance(old, dict) and all(_covers(old.get(name), part) for name, part in new.items())
    if isinstance(new, list):
        return isinstance(old, list) and len(old) == len(new) and all(map(_covers, old, new))
    return bool(old == new) or (old is None and new in ({}, [], ""))


def _section(wanted: Manifest, lost: str) -> tuple[str, Any] | None:
    """JSON pointer and value of the part of the manifest, two levels deep, whose list a lost field is in."""
    names = [name.split("[")[0] for name in lost.split(".")]
    if names[0] == "metadata" or len(names) < 2:
        return None
    value: Any = wanted
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
        if isinstance(value, list):
            return f"/{names[0]}/{names[1]}", wanted[names[0]][names[1]]
    return None
