"""Keys work until they are ended, at once and exactly; none makes or touches a stronger one. Limits are exact too."""

from __future__ import annotations

import asyncio

import pytest

from claude_mem.model.errors import Conflict, Forbidden, InvalidInput, NotFound, QuotaExceeded, RateLimited
from claude_mem.model.records import Principal
from claude_mem.model.times import now_us
from claude_mem.services import limits as limits_module
from claude_mem.services.authentication import Authenticator
from claude_mem.services.bootstrap import create_first_key, ensure_local_scope
from claude_mem.services.context import RequestContext
from claude_mem.services.keys import KeyService, NewKey
from claude_mem.services.limits import Admission, FailedAuthentications, Limits
from claude_mem.storage import keys as key_rows
from claude_mem.storage import usage
from claude_mem.storage.database import Database
from tests.support.databases import Storage
from tests.support.load import World

AT_ONCE = 40
CAP = 7


@pytest.fixture
def service(database: Database) -> KeyService:
    return KeyService(database)


async def make(service: KeyService, caller: RequestContext, *scopes: str, days: int | None = None) -> NewKey:
    return await service.create(caller, name="key", scopes=scopes or ["memories:read"], expires_in_days=days)


async def works(authenticator: Authenticator, key: NewKey) -> bool:
    try:
        await authenticator.authenticate(key.raw)
    except Forbidden:
        return False
    return True


async def test_a_key_is_good_from_its_making_to_its_end(
    storage: Storage, service: KeyService, database: Database, world: World
) -> None:
    authenticator, elsewhere = Authenticator(database), Authenticator(await storage.open())
    made = await make(service, world.caller, "memories:read", "memories:write")
    principal = await elsewhere.authenticate(made.raw)
    assert (principal.key_id, principal.team_id) == (made.key.id, world.team_id)
    for _ in range(3):
        await asyncio.gather(*(works(authenticator, made) for _ in range(AT_ONCE)))
    await service.revoke(world.caller, made.key.id)
    assert not await works(authenticator, made), "the very next request is refused"
    assert not await works(elsewhere, made)
    with pytest.raises(Conflict):
        await service.revoke(world.caller, made.key.id)
    with pytest.raises(Forbidden):
        await authenticator.authenticate("cm_unknown")
    dump = await storage.query("select key_hash, name, key_prefix, actor_id, scopes from api_keys")
    assert made.raw not in str(dump), "the raw key is kept nowhere"


async def test_last_use_is_written_behind(service: KeyService, database: Database, world: World) -> None:
    authenticator = Authenticator(database)
    made = await make(service, world.caller)
    before = now_us() // 1000
    await authenticator.authenticate(made.raw)
    await authenticator.write_last_used()
    stored = await key_rows.find(database, made.key.id)
    assert stored is not None
    assert stored.last_used_ms is not None
    assert before <= stored.last_used_ms <= now_us() // 1000


async def test_rotation_with_an_overlap_keeps_both_keys_for_a_while(
    service: KeyService, database: Database, world: World
) -> None:
    authenticator = Authenticator(database)
    old = await make(service, world.caller, "memories:read", days=1)
    new = await service.rotate(world.caller, old.key.id, overlap_s=60)
    assert await works(authenticator, old)
    assert await works(authenticator, new)
    assert (new.key.scopes, new.key.name, new.key.project_id) == (old.key.scopes, old.key.name, None)
    stored = await key_rows.find(database, old.key.id)
    assert stored is not None
    assert stored.replaced_by == new.key.id
    assert stored.expires_ms is not None
    assert stored.expires_ms <= now_us() // 1000 + 60_000
    endless = await service.rotate(world.caller, new.key.id, overlap_s=10**9)
    kept = await key_rows.find(database, new.key.id)
    assert kept is not None
    assert kept.expires_ms == new.key.expires_ms, "an overlap lengthens no life"
    at_once = await service.rotate(world.caller, endless.key.id, overlap_s=0)
    assert not await works(authenticator, endless)
    assert await works(authenticator, at_once)


@pytest.mark.parametrize("overlap_s", [0, 60])
async def test_a_key_that_has_ended_is_not_brought_back_by_rotation(
    service: KeyService, database: Database, world: World, overlap_s: int
) -> None:
    revoked, expired = await make(service, world.caller), await make(service, world.caller)
    await service.revoke(world.caller, revoked.key.id)
    now = now_us()
    assert await key_rows.replace(
        database, expired.key.id, replaced_by="", expires_us=now - 1000, now_us=now - 2000
    )
    for ended in (revoked, expired):
        with pytest.raises(Conflict):
            await service.rotate(world.caller, ended.key.id, overlap_s=overlap_s)
    page = await service.list_page(world.caller, active=True, cursor=None, limit=10)
    assert page.items == []


async def test_rotations_at_once_leave_one_successor_that_works(
    service: KeyService, database: Database, world: World
) -> None:
    old = await make(service, world.caller)
    done = await asyncio.gather(
        *(service.rotate(world.caller, old.key.id, overlap_s=0) for _ in range(10)), return_exceptions=True
    )
    made = [item for item in done if isinstance(item, NewKey)]
    assert len(made) == 1
    assert all(isinstance(item, Conflict) for item in done if item is not made[0])
    assert await works(Authenticator(database), made[0])


async def test_no_key_makes_or_touches_a_stronger_one(service: KeyService, world: World) -> None:
    reader = world.caller_of(world.team_id, scopes=["memories:read"])
    writer = world.caller_of(world.team_id, project_id=world.project_id, scopes=["memories:write"])
    stranger = world.caller_of(world.other_team_id)
    strong = await make(service, world.caller, "*")
    for caller, more in ((reader, "memories:write"), (writer, "*"), (writer, "admin")):
        with pytest.raises(Forbidden):
            await make(service, caller, "memories:read", more)
    with pytest.raises(Forbidden):
        await service.rotate(reader, strong.key.id, overlap_s=0)
    with pytest.raises(Forbidden):
        await service.revoke(reader, strong.key.id)
    for caller in (stranger, writer):
        with pytest.raises(NotFound):
            await service.revoke(caller, strong.key.id)
    with pytest.raises(Forbidden):
        await service.create(
            writer, name=None, scopes=["memories:write"], expires_in_days=None, project_id=world.sibling_id
        )
    own = await make(service, writer, "memories:write")
    assert own.key.project_id == world.project_id
    with pytest.raises(InvalidInput, match="unknown scope"):
        await make(service, world.caller, "memories:everything")


async def test_listings_page_through_every_key_once(service: KeyService, world: World) -> None:
    made = [await make(service, world.caller) for _ in range(7)]
    seen: list[str] = []
    cursor = None
    while True:
        page = await service.list_page(world.caller, active=True, cursor=cursor, limit=3)
        seen += [key.id for key in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == sorted(key.key.id for key in made)
    with pytest.raises(InvalidInput):
        await service.list_page(world.caller, active=True, cursor="nonsense", limit=3)


async def test_the_first_key_and_scope_are_made_once(storage: Storage, database: Database) -> None:
    databases = [database, await storage.open()]
    scopes = await asyncio.gather(*(ensure_local_scope(databases[n % 2]) for n in range(20)))
    assert len({(scope.team.id, scope.project.id) for scope in scopes}) == 1
    made = await create_first_key(database, name="n", scopes=["*"], team_id=None, project_id=None)
    assert (await Authenticator(database).authenticate(made.raw)).project_id == scopes[0].project.id
    with pytest.raises(NotFound):
        await create_first_key(database, name="n", scopes=["*"], team_id="absent", project_id=None)


def principal(world: World, key_id: str = "key") -> Principal:
    return Principal(key_id, "actor", world.team_id, None, frozenset({"*"}))


async def admitted(admission: Admission, world: World) -> int:
    """How many of many requests at once pass."""
    done = await asyncio.gather(
        *(
            admission.admit(principal(world), writes=False, method="GET", path="/v1/usage")
            for _ in range(AT_ONCE)
        ),
        return_exceptions=True,
    )
    refused = [item for item in done if item is not None]
    assert all(isinstance(item, QuotaExceeded) for item in refused)
    return len(done) - len(refused)


@pytest.mark.usefixtures("within_a_day")
async def test_a_monthly_cap_lets_exactly_so_many_pass(
    storage: Storage, database: Database, world: World
) -> None:
    admissions = [
        Admission(opened, Limits(monthly_requests=CAP)) for opened in (database, await storage.open())
    ]
    passed = await asyncio.gather(*(admitted(admission, world) for admission in admissions))
    assert sum(passed) == CAP
    totals = await usage.totals(database, team_id=world.team_id, since_us=0)
    assert totals == {"request": CAP}


async def test_a_rate_limit_lets_exactly_so_many_pass(
    monkeypatch: pytest.MonkeyPatch, storage: Storage, database: Database, world: World
) -> None:
    monkeypatch.setattr(limits_module, "now_us", lambda: 1_750_000_000_000_000)
    admissions = [
        Admission(opened, Limits(rate_per_minute=CAP)) for opened in (database, await storage.open())
    ]
    windows = await asyncio.gather(*(admissions[n % 2].rate(principal(world)) for n in range(AT_ONCE)))
    remaining = sorted(window.remaining for window in windows if window)
    assert remaining == list(range(CAP - AT_ONCE, CAP))
    for window in windows:
        assert window is not None
        if window.remaining >= 0:
            Admission.check_rate(window)
            continue
        with pytest.raises(RateLimited) as refused:
            Admission.check_rate(window)
        assert 1 <= refused.value.retry_after_s <= 60
    other = await admissions[0].rate(principal(world, "another key"))
    assert other is not None
    assert other.remaining == CAP - 1


@pytest.mark.usefixtures("within_a_day")
async def test_tokens_hold_back_writes_only(database: Database, world: World) -> None:
    admission = Admission(database, Limits(monthly_tokens=100))
    row = usage.UsageRow(world.team_id, None, "tokens", 100, now_us(), {})
    await usage.append(database, [row])
    await admission.admit(principal(world), writes=False, method="GET", path="/")
    with pytest.raises(QuotaExceeded) as refused:
        await admission.admit(principal(world), writes=True, method="POST", path="/")
    assert (refused.value.used, refused.value.cap) == (100, 100)


async def test_metering_is_written_behind_and_survives_a_refused_row(
    database: Database, world: World
) -> None:
    admission = Admission(database, Limits(metering=True))
    await admitted(admission, world)
    await admission.admit(principal(world), writes=False, method="GET", path="/v1/\0\ud800")
    await admission.write_metered()
    await admission.admit(principal(world), writes=False, method="GET", path="/")
    await admission.write_metered()
    totals = await usage.totals(database, team_id=world.team_id, since_us=0)
    assert totals == {"request": AT_ONCE + 2}


def test_failed_authentications_are_counted_by_address() -> None:
    failures = FailedAuthentications(2)
    for _ in range(2):
        failures.record("10.0.0.1")
    with pytest.raises(RateLimited):
        failures.record("10.0.0.1")
    failures.record("10.0.0.2")
    FailedAuthentications(None).record("10.0.0.1")
