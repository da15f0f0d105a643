"""Whether an object's fields are still ours, by what the API server keeps about who set them.

A field that was applied belongs to its manager until somebody else gives it another value or removes it. So an
object on which every applied field still belongs to us has every value that we applied, however the server
spells it: quantities, defaults and ports need no comparison. `metadata.managedFields` has the format of
structured-merge-diff's FieldsV1: `f:name` is a member, `k:{...}` the element of a list with these keys, and
`v:...` the element of a set; a list without such elements belongs to one manager as a whole.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from claude_mem_operator.kube.port import Manifest

#: Told by the object's address, not owned by anybody.
_ADDRESS = frozenset({"apiVersion", "kind"})
_IDENTITY = frozenset({"name", "namespace"})


def owned_fields(live: Manifest, *, manager: str) -> Manifest:
    """The fields of `live` that `manager` applied, as FieldsV1; empty where there are none.

    Fields that were applied through another version of the kind's API do not count.
    """
    for entry in live["metadata"].get("managedFields", ()):
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and entry.get("apiVersion") == live["apiVersion"]
            and not entry.get("subresource")
        ):
            fields: Manifest = entry.get("fieldsV1", {})
            return fields
    return {}


def lost_field(manifest: Manifest, live: Manifest, *, manager: str) -> str | None:
    """The path of a field of `manifest` that is no longer owned by `manager` in `live`, or None.

    None means that `live` has every value of `manifest`, provided that this manifest was the last one applied.
    """
    owned = owned_fields(live, manager=manager)
    wanted = {name: part for name, part in manifest.items() if name not in _ADDRESS}
    wanted["metadata"] = {name: part for name, part in manifest["metadata"].items() if name not in _IDENTITY}
    return _lost_member(wanted, owned, live, "")


def leftover_entry(live: Manifest, *, manager: str) -> int | None:
    """Which entry of `metadata.managedFields` says that `manager` set fields in another way than by applying."""
    for position, entry in enumerate(live["metadata"].get("managedFields", ())):
        if entry.get("manager") == manager and entry.get("operation") == "Update":
            return position
    return None


def extract(live: Any, fields: Manifest) -> Any:
    """The part of `live` that `fields` covers: what an apply would have to say to leave it as it is."""
    parts = {name: below for name, below in fields.items() if name != "."}
    if not parts:
        return live
    if isinstance(live, dict):
        return {
            name[2:]: extract(live[name[2:]], below)
            for name, below in parts.items()
            if name.startswith("f:") and name[2:] in live
        }
    if isinstance(live, list):
        matched = ((item, _element(item, parts)) for item in live)
        return [extract(item, below) for item, below in matched if below is not None]
    return live


def _lost(wanted: Any, owned: Manifest, live: Any, path: str) -> str | None:
    if isinstance(wanted, dict) and wanted:
        return _lost_member(wanted, owned, live, path)
    if isinstance(wanted, list) and _is_by_element(owned):
        for position, item in enumerate(wanted):
            below = _element(item, owned)
            here = f"{path}[{position}]"
            if below is None:
                return here
            lost = _lost(item, below, item, here) if isinstance(item, dict) else None
            if lost is not None:
                return lost
    return None


def _lost_member(wanted: Manifest, owned: Manifest, live: Any, path: str) -> str | None:
    # A map or list without members under it belongs to its owner as a whole. So does a map whose last member somebody
    # removed, where the schema does not name the members.
    if path and not any(name.startswith("f:") for name in owned):
        return None if live else path
    for name, part in wanted.items():
        if part is None:
            continue
        here = f"{path}.{name}" if path else name
        below = owned.get(f"f:{name}")
        if below is None:
            return here
        lost = _lost(part, below, live.get(name), here)
        if lost is not None:
            return lost
    return None


def _is_by_element(owned: Manifest) -> bool:
    return any(name.startswith(("k:", "v:")) for name in owned)


def _element(item: Any, owned: Manifest) -> Manifest | None:
    """What is owned of one element of a list. A key that the server defaults may be missing from the element."""
    for name, below in owned.items():
        if name.startswith("k:") and isinstance(item, dict):
            keys: Manifest = json.loads(name[2:])
            if all(item.get(key, value) == value for key, value in keys.items()):
                return dict(below)
        elif name.startswith("v:") and json.loads(name[2:]) == item:
            return dict(below)
    return None
