"""PostgreSQL, where everything is kept, and Valkey, which carries jobs: run by the operator, or elsewhere."""

from __future__ import annotations

from typing import Literal

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.pods import Resources, Scheduling
from claude_mem_operator.api.quantities import quantity
from claude_mem_operator.api.references import PullPolicy, SecretKeyRef
from claude_mem_operator.api.rules import Rule, Transition
from claude_mem_operator.api.scalars import ImageReference, ObjectName, StorageSize

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


class ManagedStore(Scheduling):
    """A store that the operator runs: one pod with one volume."""

    storage: StorageSize = "1Gi"
    """The size of the volume. It may grow, where the storage class can; it never shrinks."""
    storage_class_name: ObjectName | None = None
    """The StorageClass of the volume; the cluster's default where it is not given. It cannot be changed."""
    image: ImageReference | None = None
    """The image; the operator's own choice where it is not given."""
    image_pull_policy: PullPolicy = "IfNotPresent"
    """When the image is pulled."""
    resources: Resources = Resources()
    """What the container asks for and may take; the store is tuned to its memory limit."""

    rules = (
        Rule(
            cel="!has(self.storage) || quantity(self.storage).isGreaterThan(quantity('0'))",
            holds=lambda store: quantity(store.storage) > 0,
            message="must be more than nothing, such as 10Gi",
            field=".storage",
        ),
    )
    transitions = (
        Transition(
            cel=(
                "!has(self.storage) || !has(oldSelf.storage) || "
                "quantity(self.storage).compareTo(quantity(oldSelf.storage)) >= 0"
            ),
            holds=lambda new, old: quantity(new.storage) >= quantity(old.storage),
            message="must not shrink: volumes only grow; write the size that it had, or a larger one",
            field=".storage",
        ),
        Transition(
            cel=(
                "has(self.storageClassName) == has(oldSelf.storageClassName) && "
                "(!has(self.storageClassName) || self.storageClassName == oldSelf.storageClassName)"
            ),
            holds=lambda new, old: new.storage_class_name == old.storage_class_name,
            message=(
                "must not change: a volume stays in its class; write what it was, and move the data to a new "
                "resource to change it"
            ),
            field=".storageClassName",
        ),
    )


class ManagedPostgres(ManagedStore):
    """A PostgreSQL that the operator runs."""

    storage: StorageSize = "10Gi"
    """The size of the volume. It may grow, where the storage class can; it never shrinks."""
    resources: Resources = Resources(requests={"cpu": "100m", "memory": "256Mi"}, limits={"memory": "1Gi"})
    """What the container asks for and may take; PostgreSQL's buffers are computed from the memory limit."""


class ManagedValkey(ManagedStore):
    """A Valkey that the operator runs."""

    resources: Resources = Resources(requests={"cpu": "50m", "memory": "64Mi"}, limits={"memory": "256Mi"})
    """What the container asks for and may take; Valkey's maxmemory is computed from the memory limit."""


class ExternalPostgres(Model):
    """A PostgreSQL that somebody else runs, of version 15 or newer."""

    url_secret_ref: SecretKeyRef
    """Where its URL is, such as postgresql://USER:PASSWORD@HOST:5432/DATABASE."""
    ssl: SslMode | None = None
    """TLS: verify-ca and verify-full also check the certificate; the URL's sslmode, or prefer, where it is
    not given."""
    ca_secret_ref: SecretKeyRef | None = None
    """The authorities, in PEM, whose certificates verify-ca and verify-full believe; those of the image where it is not
    given. A URL with an sslrootcert of its own wins."""

    rules = (
        Rule(
            cel="!has(self.caSecretRef) || !has(self.ssl) || self.ssl in ['verify-ca', 'verify-full']",
            holds=lambda store: (
                store.ca_secret_ref is None or store.ssl in {None, "verify-ca", "verify-full"}
            ),
            message="must be verify-ca or verify-full beside caSecretRef: the other modes check no certificate",
            field=".ssl",
        ),
    )


class ExternalValkey(Model):
    """A Valkey or Redis that somebody else runs."""

    url_secret_ref: SecretKeyRef
    """Where its URL is, such as redis://USER:PASSWORD@HOST:6379/0, or rediss:// for TLS."""
    ca_secret_ref: SecretKeyRef | None = None
    """The authorities, in PEM, whose certificates rediss:// believes; those of the image where it is not given. A URL with
    ssl_ca_certs of its own wins."""


_EXACTLY_ONE = Rule(
    cel="has(self.managed) != has(self.external)",
    holds=lambda store: (store.managed is None) != (store.external is None),
    message="must hold exactly one of managed and external; managed: {} takes all defaults",
)


class Postgres(Model):
    """Where everything is kept: exactly one of the fields, which stays the one that it was."""

    managed: ManagedPostgres | None = None
    """The operator runs PostgreSQL, in one pod with one volume."""
    external: ExternalPostgres | None = None
    """PostgreSQL runs elsewhere."""

    rules = (_EXACTLY_ONE,)
    transitions = (
        Transition(
            cel="has(self.managed) == has(oldSelf.managed)",
            holds=lambda new, old: (new.managed is None) == (old.managed is None),
            message=(
                "must not change between managed and external: the memories would stay behind; make a new "
                "resource, and move the database first"
            ),
        ),
    )


class Valkey(Model):
    """What carries jobs to the workers: exactly one of the fields. It may be changed at any time."""

    managed: ManagedValkey | None = None
    """The operator runs Valkey, in one pod with one volume."""
    external: ExternalValkey | None = None
    """Valkey or Redis runs elsewhere."""

    rules = (_EXACTLY_ONE,)
