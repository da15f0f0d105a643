"""When the webhook's certificates change, and in which order. Reading and writing them is left to `certificates`.

A change of authority overlaps, so that at no moment an API server meets a certificate that it does not trust:

1. the new authority is stored, the old one's certificate (not its key) beside it;
2. the webhook configuration trusts both;
3. once every API server has had time to see that, the new authority signs the leaf;
4. once every replica serves the new leaf, the old authority is dropped.

`plan` gives the one next step. Its caller makes it and looks again, so a step that was lost to another replica, or
to a crash, is a state like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from claude_mem_operator.admission.pki import (
    dns_names,
    encode,
    is_due,
    is_expired,
    is_issued_by,
    issued_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from cryptography.x509 import Certificate

    from claude_mem_operator.admission.pki import KeyPair

#: How long API servers get to see a changed bundle before a leaf depends on it. They watch, so a second would do.
SETTLING = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What the cluster has.

    Attributes:
        authority: the newest authority with its key; None where its Secret is missing or holds none that API servers
            trust.
        retiring: certificates of earlier authorities that are still trusted.
        leaf: what the replicas are to serve; None where its Secret is missing or unreadable.
        leaf_authority: the certificate stored beside the leaf, of the authority that signed it.
        published: the configuration's bundle in PEM, empty where it is blank; None where there is no configuration.
        is_served: whether every replica was seen to serve the leaf.
    """

    authority: KeyPair | None
    retiring: tuple[Certificate, ...] = ()
    leaf: KeyPair | None
    leaf_authority: Certificate | None = None
    published: bytes | None
    is_served: bool = False


@dataclass(frozen=True, slots=True)
class IssueAuthority:
    """Store a new authority, and beside it the certificates that stay trusted."""

    retiring: tuple[Certificate, ...]


@dataclass(frozen=True, slots=True)
class Publish:
    """Write the bundle, in PEM, into the webhook configuration."""

    bundle: bytes


@dataclass(frozen=True, slots=True)
class IssueLeaf:
    """Have the newest authority sign a leaf, and store that."""

    authority: KeyPair


@dataclass(frozen=True, slots=True)
class Retire:
    """Forget authorities, so that only these earlier ones stay trusted."""

    retiring: tuple[Certificate, ...]


Step: TypeAlias = IssueAuthority | Publish | IssueLeaf | Retire


def plan(state: State, *, names: tuple[str, ...], now: datetime) -> Step | None:
    """The next step towards a webhook that API servers trust, or None where all is well.

    Parameters:
        names: the DNS names that the leaf is to have.
        now: aware time.
    """
    authority = state.authority
    if authority is None or is_due(authority.certificate, now=now):
        return IssueAuthority(_successors(state, now=now))
    retiring = _valid(state.retiring, now=now)
    if retiring != state.retiring:
        return Retire(retiring)
    bundle = encode((authority.certificate, *retiring))
    if state.published is not None and state.published != bundle:
        return Publish(bundle)
    if _needs_leaf(state, authority, names=names, now=now):
        return IssueLeaf(authority)
    if retiring and state.is_served and is_of_newest(state):
        return Retire(())
    return None


def is_of_newest(state: State) -> bool:
    """Whether the newest authority signed the leaf."""
    return (
        state.leaf is not None
        and state.authority is not None
        and is_issued_by(state.leaf.certificate, state.authority.certificate)
    )


def _needs_leaf(state: State, authority: KeyPair, *, names: tuple[str, ...], now: datetime) -> bool:
    leaf = state.leaf
    trusted = (authority.certificate, *state.retiring)
    if (
        leaf is None
        or is_expired(leaf.certificate, now=now)
        or set(dns_names(leaf.certificate)) != set(names)
        or not any(is_issued_by(leaf.certificate, one) for one in trusted)
    ):
        return True  # nobody could use it: waiting would help nobody
    if now < issued_at(authority.certificate) + SETTLING:
        return False
    return is_due(leaf.certificate, now=now) or not is_of_newest(state)


def _successors(state: State, *, now: datetime) -> tuple[Certificate, ...]:
    """What stays trusted beside a new authority: whatever may have signed a leaf that is still served."""
    before = [state.authority.certificate] if state.authority else []
    if state.leaf_authority is not None:
        before.append(state.leaf_authority)
    return _valid(dict.fromkeys((*before, *state.retiring)), now=now)


def _valid(certificates: Iterable[Certificate], *, now: datetime) -> tuple[Certificate, ...]:
    return tuple(one for one in certificates if not is_expired(one, now=now))
