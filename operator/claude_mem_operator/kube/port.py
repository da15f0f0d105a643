"""What the engine asks of an API server: objects as plain JSON, by kind, namespace and name.

Calls block and may come from any thread. Errors are those of `kube.errors`. Watching is left to `main`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

Manifest = dict[str, Any]
Propagation = Literal["Background", "Foreground", "Orphan"]
PatchType = Literal["merge", "json"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of object: `apps`, `v1`, `Deployment`, `deployments`. The core group is an empty text."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As a manifest spells it: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """One object's address; a cluster-wide object has no namespace."""

    kind: Kind
    namespace: str | None
    name: str

    def __str__(self) -> str:
        return (
            f"{self.kind.kind} {self.namespace}/{self.name}"
            if self.namespace
            else f"{self.kind.kind} {self.name}"
        )


class KubeApi(Protocol):
    """The API server, as far as the operator needs it."""

    def get(self, ref: ObjectRef) -> Manifest | None:
        """The object, or nothing where it is not there."""
        ...

    def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """All objects of a kind, of one namespace or of all, that carry all of `labels`.

        Empty where the cluster does not serve the kind.
        """
        ...

    def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        """Server-side apply: make the fields of `manifest` so, and own them. What the server made of it.

        Without `force`, raises Conflict where another manager owns one of them with another value.
        """
        ...

    def create(self, manifest: Manifest) -> Manifest:
        """Create the object. Raises AlreadyExists where its name is taken."""
        ...

    def patch(
        self,
        ref: ObjectRef,
        body: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str | None = None,
    ) -> Manifest:
        """Change parts of an object. A `metadata.resourceVersion` in a merge patch must still be the current one."""
        ...

    def patch_status(
        self, ref: ObjectRef, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        """Merge `status` into the object's own; null removes a field.

        Raises Conflict where `resource_version` is given and no longer the current one.
        """
        ...

    def scale(self, ref: ObjectRef, replicas: int, *, field_manager: str) -> None:
        """Set the number of pods through the scale subresource."""
        ...

    def delete(
        self, ref: ObjectRef, *, uid: str | None = None, propagation: Propagation = "Background"
    ) -> bool:
        """Delete the object; false where it was gone already, or where its uid is another."""
        ...

    def serves(self, kind: Kind) -> bool:
        """Whether the cluster serves the kind; known for up to a minute."""
        ...

    def serves_group(self, group: str) -> bool:
        """Whether the cluster serves any version of an API group; known for up to a minute."""
        ...
