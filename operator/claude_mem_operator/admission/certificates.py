"""Keeps the webhook's certificates in the cluster: makes the steps that `rotation` plans, and reads what is to be served.

Two Secrets and one field are its own: the authority's Secret (`tls.crt`, `tls.key`, and in `retiring.crt` the
earlier authorities), the leaf's (`tls.crt`, `tls.key`, `ca.crt`), and `caBundle` in the webhook configuration.
Only the leader calls `maintain`; every replica reads the leaf with `serving_pair`, whoever put it there.
Calls block and belong into a thread.
"""

from __future__ import annotations

import base64
import binascii
import socket
import ssl
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from claude_mem_operator.admission.pki import (
    encode,
    is_authority,
    issue_authority,
    issue_leaf,
    issued_at,
    read_certificates,
    read_pair,
)
from claude_mem_operator.admission.rotation import (
    IssueAuthority,
    IssueLeaf,
    Publish,
    State,
    Step,
    is_of_newest,
    plan,
)
from claude_mem_operator.kube.errors import Conflict
from claude_mem_operator.kube.kinds import ENDPOINT_SLICE, SECRET, WEBHOOK_CONFIGURATION
from claude_mem_operator.kube.port import ObjectRef

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cryptography.x509 import Certificate

    from claude_mem_operator.admission.pki import KeyPair
    from claude_mem_operator.kube.port import KubeApi, Manifest

#: Owns `caBundle` and nothing else, so that whoever applies the rest of the configuration meets no conflict.
BUNDLE_MANAGER: Final = "claude-mem-operator-ca"
LABELS: Final = {"app.kubernetes.io/name": "claude-mem-operator", "app.kubernetes.io/component": "webhook"}
#: More than a whole rotation has; what is left then is left to the next call.
MOST_STEPS: Final = 8
#: How long replicas get to notice a new leaf. They look every few seconds.
NOTICING: Final = timedelta(seconds=120)
HANDSHAKE_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the certificates are.

    Attributes:
        namespace: the operator's own.
        configuration: name of the ValidatingWebhookConfiguration.
        service: name of the webhook's Service.
        names: DNS names of that Service, as `pki.service_names` gives them; the leaf is for these.
    """

    namespace: str
    authority_secret: str
    leaf_secret: str
    configuration: str
    service: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    """What `Certificates.maintain` did and found.

    Attributes:
        steps: the steps made, in words for a log.
        authority_expires: when the newest authority ends.
        leaf_expires: when the leaf ends.
        has_configuration: whether the webhook configuration is there to be trusted by.
    """

    steps: tuple[str, ...]
    authority_expires: datetime | None
    leaf_expires: datetime | None
    has_configuration: bool


def serving_pair(kube: KubeApi, *, namespace: str, secret: str) -> KeyPair | None:
    """What a replica is to serve, or None while the Secret holds no certificate with its key."""
    return _pair(_data(kube.get(ObjectRef(SECRET, namespace, secret))))


class Certificates:
    """The operator's own authority and leaf, kept valid and trusted."""

    def __init__(
        self, kube: KubeApi, place: Place, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._kube = kube
        self._place = place
        self._clock = clock

    def maintain(self) -> Upkeep:
        """Make every step that is due. For the leader; two at once lose some steps to each other and do no harm.

        Raises:
            KubeError: the API server does not answer, or refuses; the next call goes on from there.
        """
        steps: list[str] = []
        found = self._observe()
        while len(steps) < MOST_STEPS:
            step = plan(found.state, names=self._place.names, now=self._clock())
            if step is None:
                break
            try:
                self._make(step, found)
            except Conflict:
                steps.append("found another replica at the same work")
            else:
                steps.append(_in_words(step))
            found = self._observe()
        state = found.state
        return Upkeep(
            steps=tuple(steps),
            authority_expires=state.authority.certificate.not_valid_after_utc if state.authority else None,
            leaf_expires=state.leaf.certificate.not_valid_after_utc if state.leaf else None,
            has_configuration=found.configuration is not None,
        )

    def _observe(self) -> _Found:
        place = self._place
        authority_secret = self._kube.get(ObjectRef(SECRET, place.namespace, place.authority_secret))
        leaf_secret = self._kube.get(ObjectRef(SECRET, place.namespace, place.leaf_secret))
        configuration = self._kube.get(ObjectRef(WEBHOOK_CONFIGURATION, None, place.configuration))
        authority, leaf = _data(authority_secret), _data(leaf_secret)
        pair = _pair(authority)
        signers = (one for one in read_certificates(leaf.get("ca.crt", b"")) if self._is_authority(one))
        state = State(
            # One that cannot sign what API servers trust is as good as none: it is made anew.
            authority=pair if pair is not None and self._is_authority(pair.certificate) else None,
            retiring=read_certificates(authority.get("retiring.crt", b"")),
            leaf=_pair(leaf),
            leaf_authority=next(signers, None),
            published=None if configuration is None else _bundle(configuration),
        )
        if state.retiring:
            state = replace(state, is_served=self._is_served(state))
        return _Found(state, authority_secret, leaf_secret, configuration)

    def _is_authority(self, certificate: Certificate) -> bool:
        return is_authority(certificate, now=self._clock())

    def _make(self, step: Step, found: _Found) -> None:
        place = self._place
        if isinstance(step, Publish):
            self._publish(found.configuration or {}, step.bundle)
        elif isinstance(step, IssueLeaf):
            leaf = issue_leaf(step.authority, names=place.names, now=self._clock())
            authority_pem = encode((step.authority.certificate,))
            self._store(place.leaf_secret, found.leaf_secret, {**_pem(leaf), "ca.crt": authority_pem})
        elif isinstance(step, IssueAuthority):
            data = _pem(issue_authority(now=self._clock()))
            self._store(
                place.authority_secret,
                found.authority_secret,
                {**data, "retiring.crt": encode(step.retiring)},
            )
        else:
            self._store(
                place.authority_secret, found.authority_secret, {"retiring.crt": encode(step.retiring)}
            )

    def _store(self, name: str, before: Manifest | None, data: dict[str, bytes]) -> None:
        """Write into a Secret that must still be as it was seen."""
        encoded = {key: base64.b64encode(value).decode() for key, value in data.items()}
        if before is None:
            metadata = {"name": name, "namespace": self._place.namespace, "labels": LABELS}
            self._kube.create(
                {
                    "apiVersion": "v1",
                    "kind": "Secret",
                    "type": "Opaque",
                    "metadata": metadata,
                    "data": encoded,
                }
            )
            return
        version = {"resourceVersion": before["metadata"]["resourceVersion"]}
        self._kube.patch(
            ObjectRef(SECRET, self._place.namespace, name), {"metadata": version, "data": encoded}
        )

    def _publish(self, configuration: Manifest, bundle: bytes) -> None:
        text = base64.b64encode(bundle).decode()
        self._kube.apply(
            {
                "apiVersion": WEBHOOK_CONFIGURATION.api_version,
                "kind": WEBHOOK_CONFIGURATION.kind,
                "metadata": {"name": self._place.configuration},
                "webhooks": [
                    {"name": webhook["name"], "clientConfig": {"caBundle": text}}
                    for webhook in configuration.get("webhooks", [])
                ],
            },
            field_manager=BUNDLE_MANAGER,
        )

    def _is_served(self, state: State) -> bool:
        """Whether every ready replica shows a leaf of the newest authority, asked by a handshake with each."""
        if not is_of_newest(state) or state.leaf is None or state.authority is None:
            return False
        if self._clock() < issued_at(state.leaf.certificate) + NOTICING:
            return False
        labels = {"kubernetes.io/service-name": self._place.service}
        slices = self._kube.list(ENDPOINT_SLICE, self._place.namespace, labels)
        addresses = list(_addresses(slices))
        authority = encode((state.authority.certificate,)).decode()
        return bool(addresses) and all(
            serves(address, name=self._place.names[0], authority_pem=authority) for address in addresses
        )


def serves(address: tuple[str, int], *, name: str, authority_pem: str) -> bool:
    """Whether a TLS handshake with an address, under a name, succeeds for who trusts only this authority."""
    context = ssl.create_default_context(cadata=authority_pem)
    try:
        with (
            socket.create_connection(address, timeout=HANDSHAKE_SECONDS) as connection,
            context.wrap_socket(connection, server_hostname=name),
        ):
            return True
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class _Found:
    state: State
    authority_secret: Manifest | None
    leaf_secret: Manifest | None
    configuration: Manifest | None


def _addresses(slices: list[Manifest]) -> Iterator[tuple[str, int]]:
    for one in slices:
        for port in one.get("ports") or []:
            for endpoint in one.get("endpoints") or []:
                # Kubernetes' API: a condition that is not there counts as true.
                if endpoint.get("conditions", {}).get("ready") is not False:
                    yield endpoint["addresses"][0], port["port"]


def _pair(data: dict[str, bytes]) -> KeyPair | None:
    return read_pair(data.get("tls.crt", b""), data.get("tls.key", b""))


def _pem(pair: KeyPair) -> dict[str, bytes]:
    return {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem}


def _data(secret: Manifest | None) -> dict[str, bytes]:
    return {key: _decoded(value) for key, value in ((secret or {}).get("data") or {}).items()}


def _bundle(configuration: Manifest) -> bytes:
    """What all webhooks of the configuration trust; empty where they differ, so that it is written again."""
    bundles = {
        webhook.get("clientConfig", {}).get("caBundle", "") for webhook in configuration.get("webhooks", [])
    }
    return _decoded(bundles.pop()) if len(bundles) == 1 else b""


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return b""


def _in_words(step: Step) -> str:
    if isinstance(step, IssueAuthority):
        return "made a new authority"
    if isinstance(step, Publish):
        return "wrote the bundle into the webhook configuration"
    if isinstance(step, IssueLeaf):
        return "made a new leaf"
    return "dropped an earlier authority"
