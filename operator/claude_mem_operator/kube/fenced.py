"""The API server for a replica that may lose the lease: reads always pass, writes only while it holds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from claude_mem_operator.kube.errors import NotLeading

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem_operator.kube.port import Kind, KubeApi, Manifest, ObjectRef, PatchType, Propagation


class FencedApi:
    """Another `KubeApi` whose writes raise NotLeading unless `leading()` at the moment of the call.

    A thread that is in the middle of a reconcile when the lease is lost stops at its next write.
    """

    def __init__(self, api: KubeApi, *, leading: Callable[[], bool]) -> None:
        self._api = api
        self._leading = leading

    def _writable(self) -> KubeApi:
        if not self._leading():
            raise NotLeading("this replica does not hold the lease: another one writes")
        return self._api

    def get(self, ref: ObjectRef) -> Manifest | None:
        return self._api.get(ref)

    def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        return self._api.list(kind, namespace, labels)

    def serves(self, kind: Kind) -> bool:
        return self._api.serves(kind)

    def serves_group(self, group: str) -> bool:
        return self._api.serves_group(group)

    def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        return self._writable().apply(manifest, field_manager=field_manager, force=force)

    def create(self, manifest: Manifest) -> Manifest:
        return self._writable().create(manifest)

    def patch(
        self,
        ref: ObjectRef,
        body: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str | None = None,
    ) -> Manifest:
        return self._writable().patch(
            ref, body, patch_type=patch_type, subresource=subresource, field_manager=field_manager
        )

    def patch_status(
        self, ref: ObjectRef, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        return self._writable().patch_status(ref, status, resource_version=resource_version)

    def scale(self, ref: ObjectRef, replicas: int, *, field_manager: str) -> None:
        self._writable().scale(ref, replicas, field_manager=field_manager)

    def delete(
        self, ref: ObjectRef, *, uid: str | None = None, propagation: Propagation = "Background"
    ) -> bool:
        return self._writable().delete(ref, uid=uid, propagation=propagation)
