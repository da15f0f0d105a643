from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from claude_mem_operator.admission import pki
from claude_mem_operator.admission.rotation import (
    SETTLING,
    IssueAuthority,
    IssueLeaf,
    Publish,
    Retire,
    State,
    plan,
)

START = datetime(2026, 3, 1, 12, 0, 30, 123456, tzinfo=UTC)
NAMES = pki.service_names("webhook", "claude-mem-system")
DAY = timedelta(days=1)
NOTHING = State(authority=None, leaf=None, published=b"")


def step(state: State, now: datetime, *, names: tuple[str, ...] = NAMES) -> State:
    """The state after the planned step, or the same where none is planned."""
    planned = plan(state, names=names, now=now)
    if isinstance(planned, IssueAuthority):
        return replace(state, authority=pki.issue_authority(now=now), retiring=planned.retiring)
    if isinstance(planned, Publish):
        return replace(state, published=planned.bundle)
    if isinstance(planned, IssueLeaf):
        leaf = pki.issue_leaf(planned.authority, names=names, now=now)
        return replace(state, leaf=leaf, leaf_authority=planned.authority.certificate, is_served=False)
    if isinstance(planned, Retire):
        return replace(state, retiring=planned.retiring)
    return state


def settled(state: State, now: datetime) -> State:
    """The state when nothing is left to do at this moment."""
    for _ in range(10):
        after = step(state, now)
        if after == state:
            return state
        state = after
    raise AssertionError("the plan does not come to rest")


@pytest.fixture(scope="module")
def fresh() -> State:
    return settled(NOTHING, START)


def is_trusted(state: State, now: datetime) -> bool:
    """Whether an API server that has the published bundle accepts the leaf."""
    if state.leaf is None or not state.published or pki.is_expired(state.leaf.certificate, now=now):
        return False
    bundle = pki.read_certificates(state.published)
    return any(
        pki.is_issued_by(state.leaf.certificate, one) and not pki.is_expired(one, now=now) for one in bundle
    )


def test_a_new_installation_comes_to_rest_with_a_trusted_leaf(fresh: State) -> None:
    assert fresh.authority is not None
    assert fresh.leaf is not None
    assert is_trusted(fresh, START)
    assert fresh.retiring == ()
    assert fresh.published == pki.encode([fresh.authority.certificate])
    assert pki.dns_names(fresh.leaf.certificate) == (
        "webhook",
        "webhook.claude-mem-system",
        "webhook.claude-mem-system.svc",
        "webhook.claude-mem-system.svc.cluster.local",
    )
    assert plan(fresh, names=NAMES, now=START + 7 * DAY) is None


def test_certificates_begin_in_the_past_and_end_when_they_should(fresh: State) -> None:
    assert fresh.authority is not None
    assert fresh.leaf is not None
    begins = START.replace(microsecond=0) - timedelta(minutes=10)
    assert fresh.leaf.certificate.not_valid_before_utc == begins
    assert fresh.leaf.certificate.not_valid_after_utc == begins + 90 * DAY
    assert fresh.authority.certificate.not_valid_after_utc == begins + 365 * DAY


def test_the_leaf_is_made_anew_after_two_thirds_of_its_life(fresh: State) -> None:
    assert plan(fresh, names=NAMES, now=START + 59 * DAY) is None
    assert isinstance(plan(fresh, names=NAMES, now=START + 60 * DAY), IssueLeaf)


def test_the_authority_changes_with_an_overlap(fresh: State) -> None:
    now = START + 244 * DAY
    before = settled(replace(fresh, is_served=True), now - DAY)
    assert before.authority is not None
    old = before.authority.certificate

    first = step(before, now)
    assert first.authority is not None
    assert first.authority.certificate != old
    assert first.retiring == (old,)
    assert first.leaf == before.leaf
    second = step(first, now)
    assert second.published == pki.encode([first.authority.certificate, old])
    assert plan(second, names=NAMES, now=now) is None, "API servers get time to see the new bundle"

    later = now + SETTLING
    third = step(second, later)
    assert third.leaf is not None
    assert pki.is_issued_by(third.leaf.certificate, first.authority.certificate)
    assert plan(third, names=NAMES, now=later) is None, "the old authority stays until all serve the new leaf"
    fourth = settled(replace(third, is_served=True), later)
    assert fourth.retiring == ()
    assert fourth.published == pki.encode([first.authority.certificate])


def test_two_years_pass_without_a_moment_of_mistrust(fresh: State) -> None:
    state, authorities = fresh, set()
    for day in range(730):
        now = START + day * DAY
        for _ in range(3):
            assert is_trusted(state, now)
            state = step(state, now)
        assert state.authority is not None
        authorities.add(state.authority.certificate.serial_number)
        state = replace(state, is_served=day % 4 == 0)  # it takes days until every replica is reached
    assert len(authorities) == 3


def test_an_expired_leaf_is_replaced_at_once(fresh: State) -> None:
    assert fresh.authority is not None
    young = pki.issue_authority(now=START + 85 * DAY)
    expired = replace(fresh, authority=young, retiring=(fresh.authority.certificate,))
    now = START + 91 * DAY
    assert is_trusted(settled(expired, now), now)


def test_an_operator_that_slept_for_years_starts_over(fresh: State) -> None:
    now = START + 800 * DAY
    state = settled(fresh, now)
    assert is_trusted(state, now)
    assert state.retiring == (), "what has expired is not trusted any longer"


def test_an_earlier_authority_that_expired_is_dropped_unseen(fresh: State) -> None:
    old = pki.issue_authority(now=START - 400 * DAY)
    state = replace(fresh, retiring=(old.certificate,))
    assert plan(state, names=NAMES, now=START) == Retire(())


def test_what_is_lost_is_made_again(fresh: State) -> None:
    now = START + DAY
    for state in (replace(fresh, authority=None), replace(fresh, leaf=None), replace(fresh, published=b"")):
        assert is_trusted(settled(state, now), now)


def test_a_lost_authority_stays_trusted_while_its_leaf_is_served(fresh: State) -> None:
    assert fresh.authority is not None
    state = settled(replace(fresh, authority=None), START + DAY)
    assert state.leaf == fresh.leaf
    assert state.retiring == (fresh.authority.certificate,)
    assert is_trusted(state, START + DAY)


def test_a_leaf_of_an_unknown_authority_is_replaced_at_once(fresh: State) -> None:
    stranger = pki.issue_authority(now=START)
    foreign = pki.issue_leaf(stranger, names=NAMES, now=START)
    assert isinstance(plan(replace(fresh, leaf=foreign), names=NAMES, now=START), IssueLeaf)


def test_new_names_make_a_new_leaf_and_the_order_of_names_does_not(fresh: State) -> None:
    other = pki.service_names("webhook", "claude-mem-system", domain="corp.example")
    assert isinstance(plan(fresh, names=other, now=START), IssueLeaf)
    assert plan(fresh, names=tuple(reversed(NAMES)), now=START) is None


def test_a_blank_or_foreign_bundle_is_written_again(fresh: State) -> None:
    for wrong in (b"", b"nonsense", pki.encode([pki.issue_authority(now=START).certificate])):
        assert isinstance(plan(replace(fresh, published=wrong), names=NAMES, now=START), Publish)


def test_without_a_configuration_there_is_nowhere_to_publish(fresh: State) -> None:
    state = settled(replace(NOTHING, published=None), START)
    assert state.leaf is not None
    assert state.published is None


def test_a_clock_that_is_behind_changes_nothing(fresh: State) -> None:
    assert plan(fresh, names=NAMES, now=START - 30 * DAY) is None


def test_a_leaf_never_outlives_its_authority() -> None:
    authority = pki.issue_authority(now=START)
    leaf = pki.issue_leaf(authority, names=NAMES, now=START + 350 * DAY)
    assert leaf.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


def test_pairs_are_read_only_whole() -> None:
    authority = pki.issue_authority(now=START)
    other = pki.issue_authority(now=START)
    read = pki.read_pair(authority.certificate_pem, authority.key_pem)
    assert read is not None
    assert read.certificate == authority.certificate
    assert pki.read_pair(authority.certificate_pem, other.key_pem) is None
    assert pki.read_pair(authority.certificate_pem, b"nonsense") is None
    assert pki.read_pair(b"nonsense", authority.key_pem) is None
    assert pki.read_pair(b"", b"") is None


def test_a_key_is_in_no_representation() -> None:
    authority = pki.issue_authority(now=START)
    assert "key" not in repr(authority)
    assert "PRIVATE" not in repr(authority)


def test_an_authority_with_a_foreign_key_signs_nothing() -> None:
    authority = pki.issue_authority(now=START)
    foreign = pki.KeyPair(
        certificate=authority.certificate, key=rsa.generate_private_key(public_exponent=65537, key_size=2048)
    )
    with pytest.raises(TypeError, match="did not make"):
        pki.issue_leaf(foreign, names=NAMES, now=START)


def test_an_authority_has_no_dns_names() -> None:
    assert pki.dns_names(pki.issue_authority(now=START).certificate) == ()
