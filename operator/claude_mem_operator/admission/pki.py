"""Certificates of the webhook: making, reading and judging them. When one is due and where it is kept stands in `rotation`.

An authority of the operator's own signs one serving certificate (the leaf). Both are ECDSA on P-256, which every
API server since TLS 1.2 speaks and which takes no time to make. Everything here is a function of its arguments.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

AUTHORITY_LIFE = timedelta(days=365)
LEAF_LIFE = timedelta(days=90)
#: How far in the past a certificate begins, so that a clock that is behind accepts it at once.
BACKDATED = timedelta(minutes=10)
#: Part of its life after which a certificate is made anew; cert-manager's default as well.
RENEWED_AFTER = 2 / 3
#: Those that Go knows, in which API servers are written.
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
#: What reading a key or an extension of a certificate that somebody else made may raise.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPair:
    """A certificate and the private key that belongs to it; never an unmatched pair.

    Attributes:
        chain: certificates between this one and its authority, as a provided certificate may have them.
    """

    certificate: x509.Certificate
    key: PrivateKeyTypes = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        """The certificate and its chain, as a server presents them."""
        return encode((self.certificate, *self.chain))

    @property
    def key_pem(self) -> bytes:
        """The private key, not encrypted."""
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def service_names(service: str, namespace: str, *, domain: str = "cluster.local") -> tuple[str, ...]:
    """The names under which a Service is reached; the API server asks for ``service.namespace.svc``."""
    return (
        service,
        f"{service}.{namespace}",
        f"{service}.{namespace}.svc",
        f"{service}.{namespace}.svc.{domain}",
    )


def issue_authority(*, now: datetime) -> KeyPair:
    """Make an authority that signs leaves and nothing else. Its name is its own, so that two of them are told apart."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"claude-mem-operator webhook CA {secrets.token_hex(4)}")
    builder = _builder(subject=name, issuer=name, key=key, now=now, life=AUTHORITY_LIFE)
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    return KeyPair(certificate=certificate, key=key)


def issue_leaf(authority: KeyPair, *, names: Iterable[str], now: datetime) -> KeyPair:
    """Make a serving certificate for DNS names, valid no longer than its authority.

    Raises:
        TypeError: the authority's key is not one that `issue_authority` makes.
    """
    if not isinstance(authority.key, ec.EllipticCurvePrivateKey):
        raise TypeError("the webhook's authority has a key that the operator did not make")
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = authority.certificate
    life = min(LEAF_LIFE, issuer.not_valid_after_utc - _begins(now))
    certificate = (
        _builder(
            subject=_name("claude-mem-operator webhook"), issuer=issuer.subject, key=key, now=now, life=life
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False
        )
        .sign(authority.key, hashes.SHA256())
    )
    return KeyPair(certificate=certificate, key=key)


def read_pair(certificate_pem: bytes, key_pem: bytes) -> KeyPair | None:
    """The pair that two PEM texts hold, or None where they hold none that belongs together."""
    certificates = read_certificates(certificate_pem)
    if not certificates:
        return None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    try:
        key = load_pem_private_key(key_pem, password=None)
        belongs = key.public_key().public_bytes(*form) == certificates[0].public_key().public_bytes(*form)
    except _UNREADABLE:
        return None
    if not belongs:
        return None
    return KeyPair(certificate=certificates[0], key=key, chain=certificates[1:])


def read_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Every certificate of a PEM text, in its order; none where it is not such a text."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError:
        return ()


def encode(certificates: Iterable[x509.Certificate]) -> bytes:
    """Certificates as one PEM text."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def is_issued_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether the authority's key signed the certificate, dates aside."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True


def is_authority(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Whether API servers trust what the certificate's key signs, and `issue_leaf` can sign with it.

    It says that it is an authority's, its time is not over, and its key is on a curve that they know.
    """
    try:
        key = certificate.public_key()
        extensions = certificate.extensions
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
    except _UNREADABLE:
        return False
    usages = [one.value for one in extensions if isinstance(one.value, x509.KeyUsage)]
    return (
        isinstance(key, ec.EllipticCurvePublicKey)
        and isinstance(key.curve, _CURVES)
        and constraints.ca
        and all(usage.key_cert_sign for usage in usages)
        and not is_expired(certificate, now=now)
    )


def dns_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names that a certificate is for, in its order."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except _UNREADABLE:
        return ()
    return tuple(found.value.get_values_for_type(x509.DNSName))


def issued_at(certificate: x509.Certificate) -> datetime:
    """When a certificate of this operator's was made."""
    return certificate.not_valid_before_utc + BACKDATED


def is_expired(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Whether its time is over. One that has not begun is not: some clock is wrong, and a new one would not help."""
    return now >= certificate.not_valid_after_utc


def is_due(certificate: x509.Certificate, *, now: datetime) -> bool:
    """Whether it is time for its successor."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return now >= begins + (ends - begins) * RENEWED_AFTER


def _builder(
    *,
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    now: datetime,
    life: timedelta,
) -> x509.CertificateBuilder:
    begins = _begins(now)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + life)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _begins(now: datetime) -> datetime:
    return now.replace(microsecond=0) - BACKDATED


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
