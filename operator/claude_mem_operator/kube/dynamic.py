"""The API server through the `kubernetes` dynamic client.

Every call has a time limit and is tried once: when to try again is the engine's decision. Kinds are known by
`kube.kinds`, so nothing is discovered but whether an optional one is served, and no cache file is written.
Tokens of a service account are read again as the client library does it, once a minute.
"""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from claude_mem_operator.kube.answers import refusal
from claude_mem_operator.kube.errors import Conflict, KubeError, NotFound, TooManyRequests, Unavailable
from claude_mem_operator.kube.kinds import ref_of
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubernetes.client import ApiClient

    from claude_mem_operator.kube.port import Kind, Manifest, PatchType, Propagation

#: Seconds to connect, and to wait for the next byte of an answer.
_TIMEOUT: Final = (5.0, 20.0)
#: How long an answer about served kinds holds, in seconds; that there are none, less: a definition may just come.
_DISCOVERY_SECONDS: Final = 60.0
_NOTHING_SECONDS: Final = 5.0
#: Objects per page of a list, so that no answer is large.
_PAGE: Final = 250
_PATCH_TYPES: Final = {"merge": "application/merge-patch+json", "json": "application/json-patch+json"}


def connect(*, context: str | None = None, connections: int = 16) -> DynamicApi:
    """The API server of the pod that this runs in, or else of the kubeconfig.

    Raises Unavailable where there is neither.
    """
    # Imported here: the library is large, and tests of the engine need nothing of it.
    from kubernetes import client, config  # noqa: PLC0415
    from urllib3 import Retry  # noqa: PLC0415

    configuration = client.Configuration()
    try:
        config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
    except config.ConfigException:
        try:
            config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration, context=context
            )
        except config.ConfigException as error:
            raise Unavailable(
                f"no API server is configured ({error}): run in a pod, or set KUBECONFIG"
            ) from error
    configuration.connection_pool_maxsize = connections
    # A kept connection may have died unnoticed: one more is tried, for the first byte only.
    configuration.retries = Retry(
        total=1, status=0, redirect=0, respect_retry_after_header=False, raise_on_status=False
    )
    return DynamicApi(client.ApiClient(configuration))


class _NoDiscovery:
    """In the place of the library's discoverer, which asks for everything and writes a file."""

    def __init__(self, client: object, cache_file: str | None) -> None:
        """Take what the library passes; nothing of it is needed."""


class DynamicApi:
    """`KubeApi` on a `kubernetes` client.

    `observe` is called after each call with its verb, kind, and outcome (`ok`, or the error's name). `clock` gives
    seconds that never go back.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        observe: Callable[[str, str, str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        from kubernetes.dynamic import DynamicClient  # noqa: PLC0415

        self._client = DynamicClient(  # type: ignore[no-untyped-call]
            client, discoverer=_NoDiscovery
        )
        self.observe = observe or (lambda _verb, _kind, _outcome: None)
        self._clock = clock
        self._served: dict[str, tuple[float, frozenset[str]]] = {}
        self._lock = threading.Lock()

    def get(self, ref: ObjectRef) -> Manifest | None:
        try:
            return self._call("get", ref, _path(ref))
        except NotFound:
            return None

    def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        selector = ",".join(f"{name}={value}" for name, value in sorted((labels or {}).items()))
        found: list[Manifest] = []
        where = ObjectRef(kind, namespace, "")
        token: str | None = None
        while True:
            try:
                page = self._call(
                    "list", where, _path(where), label_selector=selector or None, limit=_PAGE, _continue=token
                )
            except NotFound:
                return []
            found += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                break
        for item in found:
            item.setdefault("apiVersion", kind.api_version)
            item.setdefault("kind", kind.kind)
        return found

    def apply(self, manifest: Manifest, *, field_manager: str, force: bool = True) -> Manifest:
        ref = ref_of(manifest)
        return self._call(
            "apply",
            ref,
            _path(ref),
            body=manifest,
            content_type="application/apply-patch+yaml",
            field_manager=field_manager,
            force_conflicts=force,
        )

    def create(self, manifest: Manifest) -> Manifest:
        ref = ref_of(manifest)
        return self._call("create", ref, _path(ObjectRef(ref.kind, ref.namespace, "")), body=manifest)

    def patch(
        self,
        ref: ObjectRef,
        body: Any,
        *,
        patch_type: PatchType = "merge",
        subresource: str = "",
        field_manager: str | None = None,
    ) -> Manifest:
        return self._call(
            "patch",
            ref,
            _path(ref, subresource),
            body=body,
            content_type=_PATCH_TYPES[patch_type],
            field_manager=field_manager,
        )

    def patch_status(
        self, ref: ObjectRef, status: Manifest, *, resource_version: str | None = None
    ) -> Manifest:
        body: Manifest = {"status": status}
        if resource_version is not None:
            body["metadata"] = {"resourceVersion": resource_version}
        return self.patch(ref, body, subresource="status")

    def scale(self, ref: ObjectRef, replicas: int, *, field_manager: str) -> None:
        self._call(
            "scale",
            ref,
            _path(ref, "scale"),
            body={"spec": {"replicas": replicas}},
            content_type=_PATCH_TYPES["merge"],
            field_manager=field_manager,
        )

    def delete(
        self, ref: ObjectRef, *, uid: str | None = None, propagation: Propagation = "Background"
    ) -> bool:
        options: Manifest = {"propagationPolicy": propagation}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        try:
            self._call("delete", ref, _path(ref), body=options)
        except (NotFound, Conflict):
            return False
        return True

    def serves(self, kind: Kind) -> bool:
        prefix = f"/apis/{kind.api_version}" if kind.group else f"/api/{kind.version}"
        return kind.plural in self._discovered(
            prefix, lambda answer: (r["name"] for r in answer["resources"])
        )

    def serves_group(self, group: str) -> bool:
        return group in self._discovered("/apis", lambda answer: (one["name"] for one in answer["groups"]))

    def _discovered(self, path: str, names: Callable[[Manifest], Any]) -> frozenset[str]:
        now = self._clock()
        with self._lock:
            known = self._served.get(path)
        if known is not None and now - known[0] < (_DISCOVERY_SECONDS if known[1] else _NOTHING_SECONDS):
            return known[1]
        try:
            found = frozenset(names(self._call("discover", path, path)))
        except NotFound:
            found = frozenset()
        except Unavailable:
            # One group's server may be down alone, which is no reason to take its objects for not wanted.
            if known is None:
                raise
            found = known[1]
        with self._lock:
            self._served[path] = (now, found)
        return found

    def _call(self, verb: str, target: ObjectRef | str, path: str, **parameters: Any) -> Manifest:
        method = _METHODS[verb]
        label = str(target.kind) if isinstance(target, ObjectRef) else "discovery"
        try:
            answer = self._request(method, path, **parameters)
        except KubeError as error:
            self.observe(verb, label, type(error).__name__)
            raise type(error)(f"{verb} {target}: {error}", **_more(error)) from None
        self.observe(verb, label, "ok")
        return answer

    def _request(self, method: str, path: str, **parameters: Any) -> Manifest:
        from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
        from kubernetes.config import ConfigException  # noqa: PLC0415
        from urllib3.exceptions import HTTPError  # noqa: PLC0415

        parameters = {name: value for name, value in parameters.items() if value is not None}
        try:
            # Fresh containers: the library's own defaults are shared between calls.
            response = self._client.request(
                method,
                path,
                serialize=False,
                query_params=[],
                header_params={},
                path_params={},
                _request_timeout=_TIMEOUT,
                **parameters,
            )
            answer: Manifest = json.loads(response.data)
        except ApiException as error:
            raise refusal(int(error.status or 0), error.body, error.headers or {}, error.reason) from None
        except (HTTPError, OSError, ValueError, ConfigException) as error:
            raise Unavailable(f"the API server gave no answer ({type(error).__name__})") from None
        return answer


_METHODS: Final = {
    "get": "get",
    "list": "get",
    "discover": "get",
    "apply": "patch",
    "patch": "patch",
    "scale": "patch",
    "create": "post",
    "delete": "delete",
}


def _path(ref: ObjectRef, subresource: str = "") -> str:
    kind = ref.kind
    parts = ["", "apis", kind.group, kind.version] if kind.group else ["", "api", kind.version]
    if kind.namespaced and ref.namespace:
        parts += ["namespaces", ref.namespace]
    parts += [part for part in (kind.plural, ref.name, subresource) if part]
    return "/".join(parts)


def _more(error: KubeError) -> dict[str, float]:
    return {"retry_after": error.retry_after} if isinstance(error, TooManyRequests) else {}
