"""News of jobs through a real Valkey: quick, without polling, past outages, over TLS, and as a user who may little."""

from __future__ import annotations

import asyncio
import logging
import re
import shutil
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError, OutOfMemoryError, ReadOnlyError

from claude_mem.environment.urls import with_redis_authorities
from claude_mem.model.errors import Unavailable
from claude_mem.queue import dramatiq, lanes
from claude_mem.queue import valkey as valkey_client
from claude_mem.queue.dramatiq import DramatiqQueue, LaneConsumer
from claude_mem.queue.valkey import explain
from tests.support.certificates import Certificates, make_certificates
from tests.support.load import until
from tests.support.ports import free_port
from tests.support.valkey import ValkeyServer

PREFIX = "claude_mem"
#: Seconds for an answer of a server on a busy machine.
ANSWERED_S = 60
DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither side gives up because this machine has other things to do."""
    for place, name in (
        (dramatiq, "PATIENCE_S"),
        (dramatiq, "CONNECT_S"),
        (LaneConsumer, "PATIENCE_S"),
        (valkey_client, "CONNECT_S"),
        (valkey_client, "ANSWER_S"),
    ):
        monkeypatch.setattr(place, name, ANSWERED_S)


class Listening:
    """A consumer, and what it heard."""

    def __init__(self, url: str, *, has_room: bool) -> None:
        self.heard: list[str] = []
        self.room = threading.Event()
        if has_room:
            self.room.set()
        self.consumer = LaneConsumer(url, prefix=PREFIX, heard=self.heard.append, room=self.room)


@contextmanager
def listening(url: str, *, has_room: bool = True) -> Iterator[Listening]:
    found = Listening(url, has_room=has_room)
    found.consumer.start()
    try:
        yield found
    finally:
        found.consumer.stop()


@asynccontextmanager
async def announcing(url: str) -> AsyncIterator[DramatiqQueue]:
    queue = DramatiqQueue(url, prefix=PREFIX)
    try:
        yield queue
    finally:
        await queue.close()


def heard_by(job_id: str, *listeners: Listening) -> Callable[[], Awaitable[bool]]:
    async def one_did() -> bool:
        return any(job_id in listener.heard for listener in listeners)

    return one_did


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Of queues: a server of other tests may have something to say in the same process."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno >= logging.WARNING and record.name.startswith("claude_mem.queue")
    ]


async def blocked(url: str) -> int:
    """How many clients wait at the server."""
    with Redis.from_url(url) as client:
        info: Any = client.info("clients")
        return int(info["blocked_clients"])


async def test_a_message_is_heard_once_by_who_waits_for_it(valkey_url: str) -> None:
    async with announcing(valkey_url) as queue:
        with listening(valkey_url) as first, listening(valkey_url) as second:

            async def both_wait() -> bool:
                return await blocked(valkey_url) == 4

            await until(both_wait, what="the lanes of both to wait at the server")
            for number in range(20):
                name = str(number)
                assert await queue.publish("event" if number % 2 else "summary", [name])
                await until(heard_by(name, first, second), what="the news")
        assert sorted(first.heard + second.heard, key=int) == [str(number) for number in range(20)]


async def test_who_has_nothing_to_do_waits_and_does_not_poll(valkey_url: str) -> None:
    with Redis.from_url(valkey_url) as client, listening(valkey_url):

        async def waits() -> bool:
            return await blocked(valkey_url) == 2

        await until(waits, what="the lanes to wait")
        started = time.monotonic()
        client.config_resetstat()

        async def fetched() -> int:
            stats: Any = client.info("commandstats")
            return int(stats.get("cmdstat_blmove", {}).get("calls", 0))

        async def several() -> bool:
            return await fetched() >= 8

        await until(several, what="several rounds")
        assert time.monotonic() - started > 0.5, "a round of the two lanes takes a quarter of a second"


async def test_a_message_without_room_is_left_until_there_is(valkey_url: str) -> None:
    async with announcing(valkey_url) as queue:
        with listening(valkey_url, has_room=False) as busy:
            assert await queue.publish("event", [str(number) for number in range(12)])
            with listening(valkey_url) as idle:

                async def some() -> bool:
                    return len(idle.heard) >= 8

                await until(some, what="the other worker to hear of most")
                assert not busy.heard
                busy.room.set()

                async def everything() -> bool:
                    return len(idle.heard) + len(busy.heard) == 12

                await until(everything, what="the rest")


async def test_an_outage_is_told_once_and_news_go_on_after_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with ValkeyServer() as server, listening(server.url) as listener:
        async with announcing(server.url) as queue:
            assert await queue.publish("event", ["before"])
            await until(heard_by("before", listener), what="the first news")
            server.crash()
            assert not await queue.publish("event", ["during"])
            unawaited = queue.publish("event", ["during"])
            with pytest.raises(StopIteration, match="False"):
                unawaited.send(None)  # nobody is held up by what is known to be away

            async def told() -> bool:
                return len(warnings(caplog)) >= 2

            await until(told, what="both sides to say so")
            await asyncio.to_thread(server.start)

            async def again() -> bool:
                return await queue.publish("event", ["after"])

            await until(again, what="news to be sent again")
            await until(heard_by("after", listener), what="news after the outage")
    said = warnings(caplog)
    assert len(said) == len(set(said)), said
    assert all(line.startswith("Valkey does not answer: it cannot be reached") for line in said), said
    assert {line.rpartition("; ")[2] for line in said} == {
        "workers find jobs in the database, about a second later",
        "this worker looks for jobs in the database, once a second",
    }
    assert "Valkey answers again" in caplog.messages


async def test_news_go_on_after_everything_was_emptied(valkey: ValkeyServer, valkey_url: str) -> None:
    async with announcing(valkey_url) as queue:
        with listening(valkey_url) as listener:
            for name in ("one", "two"):
                assert await queue.publish("event", [name])
                await until(heard_by(name, listener), what=name)
                valkey.flush()


async def test_every_key_has_the_prefix_in_a_hash_tag(valkey_url: str) -> None:
    with Redis.from_url(valkey_url, decode_responses=True) as client:
        async with announcing(valkey_url) as queue:
            assert await queue.publish("event", ["1"])
            assert await queue.publish("summary", ["2"])
            found: Any = client.keys("*")
            lanes = {"server_beta_generate_event", "server_beta_generate_summary"}
            expected = {f"{{{PREFIX}}}:{lane}{part}" for lane in lanes for part in ("", ".msgs")}
            assert set(found) == expected | {f"{{{PREFIX}}}:__heartbeats__"}
            with listening(valkey_url, has_room=False):

                async def taken() -> bool:
                    return any("__acks__" in name for name in map(str, client.keys("*")))

                await until(taken, what="messages to be taken")
                assert all(str(name).startswith(f"{{{PREFIX}}}:") for name in client.keys("*"))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def guarded(certificates: Certificates, tls_port: int) -> Iterator[ValkeyServer]:
    """A server that speaks TLS on a second port, with the user that the documents describe."""
    with ValkeyServer(
        tls_port=str(tls_port),
        tls_cert_file=str(certificates.certificate),
        tls_key_file=str(certificates.key),
        tls_ca_cert_file=str(certificates.authority),
        tls_auth_clients="no",
    ) as server:
        (line,) = re.findall(r"^ *user (claude-mem .+)$", (DOCS / "how-to" / "valkey.md").read_text(), re.M)
        name, *rules = line.replace("PASSWORD", "se/cret").split()
        with Redis.from_url(server.url) as client:
            client.execute_command("ACL", "SETUSER", name, *rules)
        yield server


def secure_url(port: int, *, password: str = "se/cret", authority: Path | None = None) -> str:
    found = f"rediss://claude-mem:{quote(password, safe='')}@127.0.0.1:{port}/0"
    return found if authority is None else f"{found}?ssl_ca_certs={quote(str(authority))}"


@pytest.mark.usefixtures("guarded")
async def test_a_user_who_may_only_what_is_documented_is_enough_over_tls(
    certificates: Certificates,
    tls_port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Every command also looks after messages of processes that died, which needs the most.
    monkeypatch.setattr("claude_mem.queue.lanes.MAINTENANCE_CHANCE", 1_000_000)
    url = secure_url(tls_port, authority=certificates.authority)
    async with announcing(url) as queue:
        await queue.ping(timeout_s=ANSWERED_S)
        with listening(url) as listener:
            for lane in ("event", "summary"):
                assert await queue.publish(lane, [lane])
                await until(heard_by(lane, listener), what=lane)
    assert warnings(caplog) == []
    with Redis.from_url(url) as client:
        for forbidden in (lambda: client.set("other", "1"), client.flushall, client.config_get):
            with pytest.raises(NoPermissionError):
                forbidden()


@pytest.mark.usefixtures("guarded")
async def test_an_authority_beside_the_url_is_trusted_as_one_in_it(
    certificates: Certificates, tls_port: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "whom & what we trust.pem"
    shutil.copyfile(certificates.authority, file)
    async with announcing(with_redis_authorities(secure_url(tls_port), str(file))) as queue:
        await queue.ping(timeout_s=ANSWERED_S)
    assert warnings(caplog) == []


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("password", "it refuses the user or password in CLAUDE_MEM_REDIS_URL"),
        ("authority", "its TLS certificate is not trusted"),
        (
            "file",
            "a certificate file that CLAUDE_MEM_REDIS_URL or CLAUDE_MEM_REDIS_CA_FILE names cannot be read",
        ),
        ("acl", "its ACL forbids this user a command or a key"),
    ],
)
async def test_what_is_wrong_is_said_and_holds_up_nobody(
    certificates: Certificates,
    tls_port: int,
    caplog: pytest.LogCaptureFixture,
    fault: str,
    words: str,
) -> None:
    authority = certificates.authority
    prefix = "elsewhere" if fault == "acl" else PREFIX
    url = {
        "password": secure_url(tls_port, password="wrongpass", authority=authority),
        "authority": secure_url(tls_port),
        "file": secure_url(tls_port, authority=authority.with_name("absent")),
        "acl": secure_url(tls_port, authority=authority),
    }[fault]
    queue = DramatiqQueue(url, prefix=prefix)
    listener = LaneConsumer(url, prefix=prefix, heard=lambda _: None, room=threading.Event())
    listener.start()
    try:
        for _ in range(3):
            assert not await queue.publish("event", ["1"])
        if fault != "acl":
            with pytest.raises(Unavailable, match=re.escape(words)):
                await queue.ping(timeout_s=ANSWERED_S)

        async def told() -> bool:
            return len(warnings(caplog)) >= 2

        await until(told, what="both sides to say what is wrong")
    finally:
        await queue.close()
        listener.stop()
    said = warnings(caplog)
    assert all(words in line for line in said), said
    assert len(said) == 2, said
    assert not any("cret" in text or "wrongpass" in text for text in caplog.messages)


@pytest.mark.usefixtures("guarded")
async def test_what_a_ping_does_not_show_is_told_once(
    certificates: Certificates,
    tls_port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(dramatiq, "LOOK_AGAIN_S", 0.01)
    pings = 0
    queue = DramatiqQueue(secure_url(tls_port, authority=certificates.authority), prefix="elsewhere")
    ping = queue.ping

    async def counted(*, timeout_s: float) -> None:
        nonlocal pings
        await ping(timeout_s=timeout_s)
        pings += 1

    monkeypatch.setattr(queue, "ping", counted)

    async def refused(times: int) -> bool:
        """Whether messages were sent and refused so often; before each a ping was answered."""
        assert not await queue.publish("event", ["1"])
        return pings >= times

    for times in range(1, 4):
        await until(partial(refused, times), what="an answered ping")
    await queue.close()
    assert len(warnings(caplog)) == 1
    assert "Valkey answers again" not in caplog.messages


@pytest.mark.usefixtures("guarded")
async def test_sending_nothing_is_no_answer(
    certificates: Certificates,
    tls_port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(dramatiq, "LOOK_AGAIN_S", 0.01)
    queue = DramatiqQueue(secure_url(tls_port, authority=certificates.authority), prefix="elsewhere")
    send, begun, may_go_on = queue._send, asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def held_up(batch: Any) -> None:
        loop.call_soon_threadsafe(begun.set)
        assert may_go_on.wait(ANSWERED_S)
        send(batch)

    monkeypatch.setattr(queue, "_send", held_up)
    first = asyncio.create_task(queue.publish("event", ["1"]))
    await asyncio.wait_for(begun.wait(), ANSWERED_S)
    # Its news comes after the first batch was taken, and it is given up with that one: there is nothing left of it.
    second = asyncio.create_task(queue.publish("event", ["2"]))

    async def waits() -> bool:
        return bool(queue._waiting)

    await until(waits, what="the second to wait")
    may_go_on.set()
    assert not await first
    assert not await second
    begun.clear()

    async def refused_again() -> bool:
        assert not await queue.publish("event", ["3"])
        return begun.is_set()

    await until(refused_again, what="another message to be refused after a ping was answered")
    await queue.close()
    assert len(warnings(caplog)) == 1
    assert "Valkey answers again" not in caplog.messages


async def test_an_answer_to_another_command_ends_no_outage(
    valkey_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(lanes, "LOOK_AGAIN_S", 0.01)
    with Redis.from_url(valkey_url) as client:
        allow = partial(client.execute_command, "ACL", "SETUSER", "impatient")
        allow("on", ">secret", "~*", "&*", "+@all", "-blmove")
        client.config_resetstat()

        async def refused_often() -> bool:
            stats: Any = client.info("commandstats")
            return int(stats.get("cmdstat_blmove", {}).get("rejected_calls", 0)) >= 20

        async def told() -> bool:
            return "Valkey answers again" in caplog.messages

        try:
            with listening(valkey_url.replace("//", "//impatient:secret@")):
                await until(refused_often, what="both lanes to be refused the command that waits")
                assert len(warnings(caplog)) == 1
                assert "Valkey answers again" not in caplog.messages
                allow("+blmove")
                await until(told, what="the end of the outage to be told")
        finally:
            client.execute_command("ACL", "DELUSER", "impatient")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionResetError("secret"), "it cannot be reached (ConnectionResetError)"),
        (ssl.SSLError("secret"), "it does not speak TLS as asked"),
        (OutOfMemoryError("secret"), "its memory is full"),
        (ReadOnlyError("secret"), "it is a replica"),
    ],
)
def test_other_errors_are_told_without_their_texts(error: Exception, words: str) -> None:
    assert explain(error).startswith(words)
    assert "secret" not in explain(error)
