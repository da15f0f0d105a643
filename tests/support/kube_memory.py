"""An API server in memory, for tests of the engine alone: objects, who owns which field, and faults on order.

It knows what the engine relies on (server-side apply with its ownership, generations, resource versions,
finalizers, garbage collection) in the simplest form that behaves alike. It validates nothing: what a real API
server makes of the same calls is tested in tests/cluster.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

from claude_mem_operator.kube.errors import AlreadyExists, Conflict, NotFound
from claude_mem_operator.kube.kinds import (
    CLAUDE_MEM_SERVER,
    DEPLOYMENT,
    JOB,
    OPTIONAL_KINDS,
    STATEFUL_SET,
    ref_of,
)
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef, PatchType, Propagation

#: By the name of a list that is merged by element: what tells its elements apart, with defaults.
_KEYS: dict[str, tuple[tuple[str, Any], ...]] = {
    "containers": (("name", None),),
    "initContainers": (("name", None),),
    "volumes": (("name", None),),
    "env": (("name", None),),
    "volumeMounts": (("mountPath", None),),
    "ownerReferences": (("uid", None),),
    "conditions": (("type", None),),
}
_PORT_KEYS = {"containers": "containerPort"}


class KilledError(BaseException):
    """Raised in the place of a write that comes after the last one: as if the process had been killed."""


class MemoryApi:
    """A `KubeApi` without a server.

    `writes` are the verbs and objects of all writes so far. `before_write` is called before each, and may raise.
    """

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, Manifest] = {}
        self.writes: list[tuple[str, ObjectRef]] = []
        self.served = set(OPTIONAL_KINDS)
        self.served_groups: set[str] = set()
        self.before_write: Callable[[str, ObjectRef], None] = lambda _verb, _ref: None
        self._version = 0

    # The port.

    def get(self, ref: ObjectRef) -> Manifest | None:
        return copy.deepcopy(self.objects.get(ref))

    def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        return [
            copy.deepcopy(found)
            for ref, found in self.objects.items()
            if ref.kind == kind
            and namespace in (None, ref.namespace)
            and (labels or {}).items() <= found["metadata"].get("labels", {}).items()
        ]

    def serves(self, kind: Kind) -> bool:
        return kind not in OPTIONAL_KINDS or kind in self.served

    def serves_group(self, group: str) -> bool:
        return group in self.served_groups

    def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        ref = ref_of(manifest)
        self._write("apply", ref)
        live = self.objects.get(ref)
        if live is None:
            live = self._born(manifest)
        elif not force:
            raise Conflict(f"{ref} has fields of others")
        owned = _entry(live, field_manager)
        now_owned = _fields(
            {name: part for name, part in manifest.items() if name not in ("apiVersion", "kind")}
        )
        changed = copy.deepcopy(live)
        _remove(changed, owned.get("fieldsV1", {}), now_owned)
        _merge(changed, manifest)
        owned["fieldsV1"] = now_owned
        changed["metadata"]["managedFields"] = live["metadata"]["managedFields"]
        return self._store(ref, changed)

    def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        self._write("create", ref)
        if ref in self.objects:
            raise AlreadyExists(f"{ref} is there")
        return self._store(ref, self._born(manifest))

    def patch(
        self,
        ref: ObjectRef,
        body: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str | None = None,  # noqa: ARG002
    ) -> Manifest:
        self._write(f"patch {subresource}".strip(), ref)
        live = self._existing(ref)
        expected = body.get("metadata", {}).get("resourceVersion") if isinstance(body, dict) else None
        if expected not in (None, live["metadata"]["resourceVersion"]):
            raise Conflict(f"{ref} has changed")
        changed = copy.deepcopy(live)
        if patch_type == "json":
            _json_patch(changed, body)
        elif subresource == "status":
            changed["status"] = _merged(changed.get("status", {}), body["status"])
        else:
            changed = _merged(changed, body)
        _disown(changed, live)
        return self._store(ref, changed)

    def patch_status(
        self, ref: ObjectRef, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        body: Manifest = {"status": status}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return self.patch(ref, body, subresource="status")

    def scale(self, ref: ObjectRef, replicas: int, *, field_manager: str) -> None:  # noqa: ARG002
        self._write("scale", ref)
        changed = copy.deepcopy(self._existing(ref))
        changed["spec"]["replicas"] = replicas
        self._store(ref, changed)

    def delete(
        self,
        ref: ObjectRef,
        *,
        uid: str | None = None,
        propagation: Propagation = "Background",  # noqa: ARG002
    ) -> bool:
        self._write("delete", ref)
        live = self.objects.get(ref)
        if live is None or (uid is not None and live["metadata"]["uid"] != uid):
            return False
        if live["metadata"].get("finalizers"):
            live["metadata"].setdefault("deletionTimestamp", "2026-01-01T00:00:00Z")
            live["metadata"]["generation"] += 1
            self._bump(live)
        else:
            self._bury(ref)
        return True

    # What a test does to it.

    def edit(self, ref: ObjectRef, change: Callable[[Manifest], None]) -> None:
        """Change an object by hand, as another manager would."""
        live = self._existing(ref)
        changed = copy.deepcopy(live)
        change(changed)
        _disown(changed, live)
        self._store(ref, changed)

    def settle(self) -> None:
        """In the place of controllers and kubelets: every workload gets to where it was asked to be."""
        for ref, live in list(self.objects.items()):
            count = live.get("spec", {}).get("replicas", 1)
            counts = dict.fromkeys(
                ("replicas", "readyReplicas", "updatedReplicas", "availableReplicas"), count
            )
            if ref.kind in (STATEFUL_SET, DEPLOYMENT):
                generation = live["metadata"]["generation"]
                revision = json.dumps(live["spec"]["template"], sort_keys=True)
                revisions = {"currentRevision": revision, "updateRevision": revision}
                live["status"] = {"observedGeneration": generation, **counts, **revisions}
            elif ref.kind == JOB and not live.get("status"):
                live["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}

    def plain(self) -> dict[str, Manifest]:
        """All objects, without what depends on when and in which order they were written."""
        return {
            str(ref): _plain(live) for ref, live in sorted(self.objects.items(), key=lambda one: str(one[0]))
        }

    def _write(self, verb: str, ref: ObjectRef) -> None:
        self.before_write(verb, ref)
        self.writes.append((verb, ref))

    def _existing(self, ref: ObjectRef) -> Manifest:
        if ref not in self.objects:
            raise NotFound(f"{ref} is not there")
        return self.objects[ref]

    def _born(self, manifest: Manifest) -> Manifest:
        self._version += 1
        born = copy.deepcopy(manifest)
        born["metadata"] |= {
            "uid": f"uid-{self._version}",
            "generation": 1,
            "resourceVersion": str(self._version),
            "managedFields": [],
        }
        if ref_of(manifest).kind == DEPLOYMENT:
            born["spec"].setdefault("replicas", 1)
        return born

    def _store(self, ref: ObjectRef, changed: Manifest) -> Manifest:
        live = self.objects.get(ref)
        if live is not None and live == changed:
            return copy.deepcopy(live)
        if live is not None and live.get("spec") != changed.get("spec"):
            changed["metadata"]["generation"] += 1
        self.objects[ref] = changed
        self._bump(changed)
        if changed["metadata"].get("deletionTimestamp") and not changed["metadata"].get("finalizers"):
            self._bury(ref)
        return copy.deepcopy(changed)

    def _bump(self, live: Manifest) -> None:
        self._version += 1
        live["metadata"]["resourceVersion"] = str(self._version)

    def _bury(self, ref: ObjectRef) -> None:
        uid = self.objects.pop(ref)["metadata"]["uid"]
        for child, live in list(self.objects.items()):
            if any(owner["uid"] == uid for owner in live["metadata"].get("ownerReferences", ())):
                self._bury(child)


def _plain(live: Manifest) -> Manifest:
    copied = copy.deepcopy(live)
    for name in ("uid", "resourceVersion", "generation", "managedFields"):
        copied["metadata"].pop(name, None)
    if copied["kind"] == CLAUDE_MEM_SERVER.kind:
        copied.pop("status", None)
    if copied["kind"] in (STATEFUL_SET.kind, DEPLOYMENT.kind):
        copied.get("status", {}).pop("observedGeneration", None)
    return copied


def _entry(live: Manifest, manager: str) -> Manifest:
    entries: list[Manifest] = live["metadata"]["managedFields"]
    for entry in entries:
        if entry["manager"] == manager:
            return entry
    entry = {"manager": manager, "operation": "Apply", "apiVersion": live["apiVersion"], "fieldsV1": {}}
    entries.append(entry)
    return entry


def _keys_of(name: str, value: Any) -> tuple[tuple[str, Any], ...] | None:
    """What tells the elements of a list apart; None where it belongs to one owner as a whole."""
    if name == "ports" and value and "containerPort" in value[0]:
        return (("containerPort", None), ("protocol", "TCP"))
    if name == "ports" and value and "targetPort" in value[0]:
        return (("port", None), ("protocol", "TCP"))
    return _KEYS.get(name)


def _key(item: Manifest, keys: tuple[tuple[str, Any], ...]) -> str:
    return "k:" + json.dumps({key: item.get(key, default) for key, default in keys})


def _fields(value: Any, name: str = "") -> Manifest:
    if isinstance(value, dict):
        return {
            f"f:{key}": _fields(part, key)
            for key, part in value.items()
            if key not in ("name", "namespace") or name
        }
    keys = _keys_of(name, value) if isinstance(value, list) else None
    if keys is not None:
        return {_key(item, keys): {".": {}, **_fields(item, "element")} for item in value}
    return {}


def _merge(live: Manifest, manifest: Manifest) -> None:
    for name, part in manifest.items():
        keys = _keys_of(name, part) if isinstance(part, list) else None
        if isinstance(part, dict) and isinstance(live.get(name), dict):
            _merge(live[name], part)
        elif keys is not None and isinstance(live.get(name), list):
            there = {_key(item, keys): item for item in live[name]}
            for item in part:
                if _key(item, keys) in there:
                    _merge(there[_key(item, keys)], item)
                else:
                    live[name].append(copy.deepcopy(item))
        else:
            live[name] = copy.deepcopy(part)


def _remove(live: Any, owned: Manifest, now_owned: Manifest) -> None:
    """Take away what was owned and is no longer applied."""
    for name, below in owned.items():
        if name.startswith("f:") and isinstance(live, dict) and name[2:] in live:
            if name not in now_owned:
                del live[name[2:]]
            else:
                _remove(live[name[2:]], below, now_owned[name])
        elif name.startswith("k:") and isinstance(live, list):
            keys = json.loads(name[2:])
            for item in [
                one for one in live if all(one.get(key, value) == value for key, value in keys.items())
            ]:
                if name not in now_owned:
                    live.remove(item)
                else:
                    _remove(item, below, now_owned[name])


def _disown(changed: Manifest, before: Manifest) -> None:
    """Whose values somebody changed, they own no more."""
    for entry in changed["metadata"].get("managedFields", ()):
        entry["fieldsV1"] = _kept(entry["fieldsV1"], changed, before) or {}


def _kept(owned: Manifest, changed: Any, before: Any) -> Manifest | None:
    parts = [name for name in owned if name != "."]
    if not parts:
        return owned if changed == before else None
    found: Manifest = {name: {} for name in owned if name == "."}
    for name in parts:
        new, old = _at(changed, name), _at(before, name)
        below = None if new is None else _kept(owned[name], new, old)
        if below is not None:
            found[name] = below
    return found if set(found) - {"."} else None


def _at(value: Any, name: str) -> Any:
    if name.startswith("f:"):
        return value.get(name[2:]) if isinstance(value, dict) else None
    keys = json.loads(name[2:])
    for item in value if isinstance(value, list) else ():
        if all(item.get(key, default) == default for key, default in keys.items()):
            return item
    return None


def _merged(live: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(live, dict):
        return copy.deepcopy(patch)
    found = dict(live)
    for name, part in patch.items():
        if part is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name, {}), part)
    return found


def _json_patch(live: Manifest, operations: list[Manifest]) -> None:
    for operation in operations:
        path = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        target: Any = live
        for part in path[:-1]:
            target = target[int(part)] if isinstance(target, list) else target[part]
        last: Any = int(path[-1]) if isinstance(target, list) else path[-1]
        if operation["op"] == "test":
            if target[last] != operation["value"]:
                raise Conflict(f"{operation['path']} is another")
        elif operation["op"] == "remove":
            del target[last]
        else:
            target[last] = copy.deepcopy(operation["value"])
