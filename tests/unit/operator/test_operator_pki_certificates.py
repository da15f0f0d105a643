from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from claude_mem_operator.admission import certificates, pki
from claude_mem_operator.admission.certificates import Certificates, Place, Upkeep, serving_pair
from claude_mem_operator.kube.errors import AlreadyExists, Conflict, Unavailable
from claude_mem_operator.kube.kinds import ENDPOINT_SLICE, SECRET, WEBHOOK_CONFIGURATION, ref_of
from claude_mem_operator.kube.port import Kind, Manifest, ObjectRef

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
PLACE = Place(
    namespace="claude-mem-system",
    authority_secret="ca",
    leaf_secret="leaf",
    configuration="claude-mem-operator",
    service="webhook",
    names=pki.service_names("webhook", "claude-mem-system"),
)
CONFIGURATION = ObjectRef(WEBHOOK_CONFIGURATION, None, "claude-mem-operator")
AUTHORITY = ObjectRef(SECRET, "claude-mem-system", "ca")
LEAF = ObjectRef(SECRET, "claude-mem-system", "leaf")


class Cluster:
    """The few calls that certificates make, with optimistic locking. ``before_write`` runs ahead of each write."""

    def __init__(self) -> None:
        self.objects: dict[ObjectRef, Manifest] = {}
        self.writes: list[tuple[str, ObjectRef]] = []
        self.managers: set[str] = set()
        self.slices: list[Manifest] = []
        self.before_write: Callable[[], object] = lambda: None
        self._version = 0

    def put(self, ref: ObjectRef, manifest: Manifest) -> Manifest:
        self._version += 1
        stored = {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(self._version)}}
        self.objects[ref] = stored
        return stored

    def get(self, ref: ObjectRef) -> Manifest | None:
        return copy.deepcopy(self.objects.get(ref))

    def list(
        self, kind: Kind, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        assert (kind, namespace) == (ENDPOINT_SLICE, "claude-mem-system")
        assert labels == {"kubernetes.io/service-name": "webhook"}
        return self.slices

    def create(self, manifest: Manifest) -> Manifest:
        self._write("create", ref_of(manifest))
        if ref_of(manifest) in self.objects:
            raise AlreadyExists("taken")
        return self.put(ref_of(manifest), manifest)

    def patch(self, ref: ObjectRef, body: Any, **_: Any) -> Manifest:
        self._write("patch", ref)
        before = self.objects[ref]
        if body["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
            raise Conflict("changed")
        return self.put(ref, {**before, "data": {**(before.get("data") or {}), **body["data"]}})

    def apply(self, manifest: Manifest, *, field_manager: str, **_: Any) -> Manifest:
        ref = ref_of(manifest)
        self._write("apply", ref)
        self.managers.add(field_manager)
        applied = {webhook["name"]: webhook["clientConfig"] for webhook in manifest["webhooks"]}
        assert all(set(client) == {"caBundle"} for client in applied.values())
        before = self.objects[ref]
        webhooks = [
            {**webhook, "clientConfig": {**webhook["clientConfig"], **applied[webhook["name"]]}}
            for webhook in before["webhooks"]
        ]
        return self.put(ref, {**before, "webhooks": webhooks})

    def _write(self, verb: str, ref: ObjectRef) -> None:
        hook, self.before_write = self.before_write, lambda: None
        hook()
        self.writes.append((verb, ref))

    def patch_status(self, *_: Any, **__: Any) -> Manifest:
        raise NotImplementedError

    def scale(self, *_: Any, **__: Any) -> None:
        raise NotImplementedError

    def delete(self, *_: Any, **__: Any) -> bool:
        raise NotImplementedError

    def serves(self, kind: Kind) -> bool:
        raise NotImplementedError

    def serves_group(self, group: str) -> bool:
        raise NotImplementedError

    def data(self, ref: ObjectRef, key: str) -> bytes:
        return base64.b64decode(self.objects[ref]["data"][key])

    def bundle(self) -> bytes:
        (found,) = {
            one["clientConfig"].get("caBundle", "") for one in self.objects[CONFIGURATION]["webhooks"]
        }
        return base64.b64decode(found)


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster() -> Cluster:
    """As Helm leaves it: Secrets without data, and a configuration of two webhooks without a bundle."""
    cluster = Cluster()
    service = {"service": {"name": "webhook", "namespace": "claude-mem-system"}}
    webhooks = [{"name": name, "clientConfig": dict(service)} for name in ("one.claude-mem.dev", "two")]
    cluster.put(CONFIGURATION, {"metadata": {"name": "claude-mem-operator"}, "webhooks": webhooks})
    for ref in (AUTHORITY, LEAF):
        cluster.put(ref, {"metadata": {"name": ref.name}, "type": "Opaque"})
    return cluster


@pytest.fixture
def handshakes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Addresses that were asked; each serves the newest leaf, but for port 1."""
    asked: list[tuple[str, int]] = []

    def serves(address: tuple[str, int], *, name: str, authority_pem: str) -> bool:
        asked.append(address)
        return address[1] != 1

    monkeypatch.setattr(certificates, "serves", serves)
    return asked


def maintain(cluster: Cluster, clock: Clock) -> Upkeep:
    return Certificates(cluster, PLACE, clock=clock).maintain()


def test_the_first_call_fills_what_helm_left_empty(cluster: Cluster, clock: Clock) -> None:
    upkeep = maintain(cluster, clock)

    pair = serving_pair(cluster, namespace="claude-mem-system", secret="leaf")
    assert pair is not None
    (authority,) = pki.read_certificates(cluster.bundle())
    assert pki.is_issued_by(pair.certificate, authority)
    assert cluster.data(LEAF, "ca.crt") == cluster.bundle()
    assert cluster.managers == {"claude-mem-operator-ca"}
    assert cluster.objects[CONFIGURATION]["webhooks"][0]["clientConfig"]["service"]["name"] == "webhook"
    assert upkeep.authority_expires == authority.not_valid_after_utc
    assert upkeep.leaf_expires == pair.certificate.not_valid_after_utc
    assert upkeep.has_configuration


def test_a_second_call_writes_nothing(cluster: Cluster, clock: Clock) -> None:
    maintain(cluster, clock)
    cluster.writes.clear()
    assert maintain(cluster, clock).steps == ()
    assert cluster.writes == []


@pytest.mark.parametrize("ref", [AUTHORITY, LEAF], ids=["authority", "leaf"])
@pytest.mark.parametrize("data", [None, {}, {"tls.crt": "bm9uc2Vuc2U=", "tls.key": "%%%"}])
def test_a_deleted_or_ruined_secret_is_made_again(
    cluster: Cluster, clock: Clock, ref: ObjectRef, data: dict[str, str] | None
) -> None:
    maintain(cluster, clock)
    if data is None:
        del cluster.objects[ref]
    else:
        cluster.put(ref, {**cluster.objects[ref], "data": data})
    maintain(cluster, clock)

    pair = serving_pair(cluster, namespace="claude-mem-system", secret="leaf")
    assert pair is not None
    assert any(pki.is_issued_by(pair.certificate, one) for one in pki.read_certificates(cluster.bundle()))


def _self_signed(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, constraints: x509.BasicConstraints | None
) -> pki.KeyPair:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody's own")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START - DAY)
        .not_valid_after(START + 3650 * DAY)
    )
    if constraints is not None:
        builder = builder.add_extension(constraints, critical=True)
    return pki.KeyPair(certificate=builder.sign(key, hashes.SHA256()), key=key)


def _secret_data(pair: pki.KeyPair) -> dict[str, str]:
    parts = {"tls.crt": pair.certificate_pem, "tls.key": pair.key_pem}
    return {name: base64.b64encode(part).decode() for name, part in parts.items()}


SIGNS = x509.BasicConstraints(ca=True, path_length=0)
SIGNS_NOT = x509.BasicConstraints(ca=False, path_length=None)
P256 = ec.SECP256R1()
#: Pairs that belong together, and that no leaf can be signed with so that API servers trust it.
WRONG: dict[str, Callable[[], pki.KeyPair]] = {
    "rsa": lambda: _self_signed(rsa.generate_private_key(public_exponent=65537, key_size=2048), SIGNS),
    "a curve that Go does not know": lambda: _self_signed(ec.generate_private_key(ec.SECP256K1()), SIGNS),
    "no authority": lambda: _self_signed(ec.generate_private_key(P256), SIGNS_NOT),
    "says nothing of being one": lambda: _self_signed(ec.generate_private_key(P256), None),
    "for servers": lambda: pki.issue_leaf(pki.issue_authority(now=START), names=PLACE.names, now=START),
    "expired": lambda: pki.issue_authority(now=START - 400 * DAY),
}


@pytest.mark.parametrize("ref", [AUTHORITY, LEAF], ids=["authority", "leaf"])
@pytest.mark.parametrize("wrong", WRONG)
def test_a_pair_that_belongs_together_and_is_of_no_use_is_made_again(
    cluster: Cluster, clock: Clock, ref: ObjectRef, wrong: str
) -> None:
    maintain(cluster, clock)
    data = _secret_data(WRONG[wrong]())
    cluster.put(ref, {**cluster.objects[ref], "data": {**cluster.objects[ref]["data"], **data}})
    maintain(cluster, clock)

    pair = serving_pair(cluster, namespace="claude-mem-system", secret="leaf")
    newest, *_ = trusted = pki.read_certificates(cluster.bundle())
    assert all(pki.is_authority(one, now=clock.now) for one in trusted)
    assert pki.read_certificates(cluster.data(AUTHORITY, "tls.crt")) == (newest,)
    assert pair is not None
    assert any(pki.is_issued_by(pair.certificate, one) for one in trusted), "what is served is trusted"


def test_an_authority_that_never_was_one_is_not_trusted_for_the_leaf_that_it_signed(
    cluster: Cluster, clock: Clock
) -> None:
    maintain(cluster, clock)
    wrong = WRONG["no authority"]()
    leaf = pki.issue_leaf(wrong, names=PLACE.names, now=START)
    stored = {**_secret_data(leaf), "ca.crt": base64.b64encode(wrong.certificate_pem).decode()}
    cluster.put(LEAF, {**cluster.objects[LEAF], "data": stored})
    cluster.put(AUTHORITY, {**cluster.objects[AUTHORITY], "data": _secret_data(wrong)})
    maintain(cluster, clock)

    pair = serving_pair(cluster, namespace="claude-mem-system", secret="leaf")
    (authority,) = pki.read_certificates(cluster.bundle())
    assert pair is not None
    assert pki.is_issued_by(pair.certificate, authority)


def test_an_authority_of_somebodys_own_that_is_one_is_used(cluster: Cluster, clock: Clock) -> None:
    own = _self_signed(ec.generate_private_key(ec.SECP384R1()), SIGNS)
    cluster.put(AUTHORITY, {**cluster.objects[AUTHORITY], "data": _secret_data(own)})
    maintain(cluster, clock)
    assert pki.read_certificates(cluster.bundle()) == (own.certificate,)


def test_a_blanked_bundle_is_repaired_and_nothing_else_touched(cluster: Cluster, clock: Clock) -> None:
    maintain(cluster, clock)
    bundle = cluster.bundle()
    webhooks = cluster.objects[CONFIGURATION]["webhooks"]
    webhooks[0]["clientConfig"].pop("caBundle")
    cluster.writes.clear()

    assert maintain(cluster, clock).steps == ("wrote the bundle into the webhook configuration",)
    assert cluster.bundle() == bundle
    assert cluster.writes == [("apply", CONFIGURATION)]


def test_without_a_configuration_the_leaf_is_made_all_the_same(cluster: Cluster, clock: Clock) -> None:
    del cluster.objects[CONFIGURATION]
    upkeep = maintain(cluster, clock)
    assert not upkeep.has_configuration
    assert serving_pair(cluster, namespace="claude-mem-system", secret="leaf") is not None


def test_of_two_replicas_that_race_one_wins_each_step(cluster: Cluster, clock: Clock) -> None:
    other = Certificates(cluster, PLACE, clock=clock)
    cluster.before_write = other.maintain
    upkeep = maintain(cluster, clock)
    assert upkeep.steps == ("found another replica at the same work",)
    assert len(pki.read_certificates(cluster.bundle())) == 1


def test_of_two_replicas_that_both_miss_a_secret_one_creates_it(cluster: Cluster, clock: Clock) -> None:
    for ref in (AUTHORITY, LEAF):
        del cluster.objects[ref]
    other = Certificates(cluster, PLACE, clock=clock)
    cluster.before_write = other.maintain
    maintain(cluster, clock)
    verbs = [verb for verb, ref in cluster.writes if ref == AUTHORITY]
    assert verbs == ["create", "create"], "the second one was refused"
    assert len(pki.read_certificates(cluster.bundle())) == 1


def test_an_earlier_authority_goes_when_every_ready_replica_was_seen(
    cluster: Cluster, clock: Clock, handshakes: list[tuple[str, int]]
) -> None:
    asked = handshakes
    maintain(cluster, clock)
    clock.now += 244 * DAY
    maintain(cluster, clock)
    clock.now += timedelta(minutes=2)
    maintain(cluster, clock)
    assert len(pki.read_certificates(cluster.bundle())) == 2
    assert asked == [], "replicas get time to notice the new leaf"

    clock.now += timedelta(minutes=3)
    maintain(cluster, clock)
    assert len(pki.read_certificates(cluster.bundle())) == 2, "no replica was seen at all"
    cluster.slices = [_slice(1, {"10.0.0.1": True}), _slice(9443, {"10.0.0.2": True})]
    maintain(cluster, clock)
    assert len(pki.read_certificates(cluster.bundle())) == 2, "one of them serves the old leaf"
    cluster.slices = [_slice(9443, {"10.0.0.1": None, "10.0.0.2": True}), _slice(1, {"10.0.0.3": False})]
    asked.clear()
    upkeep = maintain(cluster, clock)
    assert upkeep.steps == (
        "dropped an earlier authority",
        "wrote the bundle into the webhook configuration",
    )
    assert set(asked) == {("10.0.0.1", 9443), ("10.0.0.2", 9443)}
    assert len(pki.read_certificates(cluster.bundle())) == 1


def test_an_api_server_that_dies_in_the_middle_is_told_and_the_next_call_goes_on(
    cluster: Cluster, clock: Clock
) -> None:
    def die() -> None:
        raise Unavailable("the API server gave no answer")

    for _ in range(3):
        cluster.before_write = die
        with pytest.raises(Unavailable):
            maintain(cluster, clock)
    maintain(cluster, clock)
    assert serving_pair(cluster, namespace="claude-mem-system", secret="leaf") is not None


def test_no_key_is_told_of(cluster: Cluster, clock: Clock) -> None:
    upkeep = maintain(cluster, clock)
    key = cluster.data(AUTHORITY, "tls.key").decode().splitlines()[1]
    assert upkeep.steps[0] == "made a new authority"
    assert key not in repr(upkeep)
    assert "PRIVATE" not in repr(serving_pair(cluster, namespace="claude-mem-system", secret="leaf"))


def _slice(port: int, ready: dict[str, bool | None]) -> Manifest:
    endpoints = [
        {"addresses": [address], "conditions": {} if is_ready is None else {"ready": is_ready}}
        for address, is_ready in ready.items()
    ]
    return {"ports": [{"name": "webhook", "port": port}], "endpoints": endpoints}
