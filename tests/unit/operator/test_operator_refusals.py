"""What becomes of kopf's lines about watches that are refused; the lines are those that the installed kopf writes."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import kopf
import pytest
from aiohttp import web
from kopf._cogs.clients.api import request
from kopf._cogs.clients.auth import APIContext
from kopf._cogs.clients.errors import APIForbiddenError
from kopf._cogs.clients.watching import logger as watching

from claude_mem_operator.logs import configure
from claude_mem_operator.main import _WATCHES
from claude_mem_operator.refusals import AGAIN_S, LASTING_S, OVER_S, Refusals
from tests.support.ports import free_port

ACCOUNT = 'User "system:serviceaccount:claude-mem-system:claude-mem-operator"'
CONFIG_MAPS = f'configmaps is forbidden: {ACCOUNT} cannot watch resource "configmaps" in API group "" at the cluster scope'
DEPLOYMENTS = (
    f'deployments.apps is forbidden: {ACCOUNT} cannot list resource "deployments" in API group "apps" in the namespace '
    '"team": RBAC: clusterrole.rbac.authorization.k8s.io "it\'s" not found'
)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counted() -> list[tuple[str, str]]:
    return []


@pytest.fixture(autouse=True)
def told_by_kopf(clock: Clock, counted: list[tuple[str, str]]) -> Iterator[None]:
    """Loggers as the operator's process has them while it watches, once a test has configured them."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    refusals = Refusals(lambda verb, kind: counted.append((verb, kind)), clock=clock)
    logging.getLogger(_WATCHES).addFilter(refusals)
    yield
    logging.getLogger(_WATCHES).removeFilter(refusals)
    root.handlers[:], root.level = handlers, level


class Refusing:
    """An API server that refuses everything."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.why = ""


@pytest.fixture
async def refusing() -> AsyncIterator[Refusing]:
    port = free_port()
    server = Refusing(f"http://127.0.0.1:{port}")

    async def answer(_: web.Request) -> web.Response:
        body = {"kind": "Status", "status": "Failure", "message": server.why, "code": 403}
        return web.json_response(body, status=403)

    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    yield server
    await runner.cleanup()


async def refuse(server: Refusing, why: str) -> None:
    """Have kopf ask twice: it says of the first try that it will ask again, and of the second that it gives up."""
    server.why = why
    context = APIContext(kopf.ConnectionInfo(server=server.address))
    settings = kopf.OperatorSettings()
    settings.networking.error_backoffs = (0,)
    try:
        with pytest.raises(APIForbiddenError):
            await request("get", "/api/v1", settings=settings, context=context, logger=watching)
    finally:
        await context.close()


def told(capsys: pytest.CaptureFixture[str]) -> list[tuple[str, str]]:
    """Level and words of each line, but for those of a request that is given up."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    return [(line["level"], line["message"]) for line in lines if "escalating" not in line["message"]]


async def test_what_stays_refused_is_one_error_that_names_verb_and_kind(
    refusing: Refusing, clock: Clock, counted: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level="INFO", form="json")
    for why, what, kind in (
        (CONFIG_MAPS, "watch configmaps at the cluster scope", ("watch", "configmaps")),
        (DEPLOYMENTS, 'list deployments.apps in the namespace "team"', ("list", "deployments.apps")),
    ):
        await refuse(refusing, why)
        ((level, words),) = told(capsys)
        assert (level, "will retry" in words) == ("WARNING", True)
        assert counted == []
        for _ in range(3):
            clock.now += LASTING_S
            await refuse(refusing, why)
        ((level, words),) = told(capsys)
        assert level == "ERROR"
        assert words.startswith(f"the operator may not {what}, so it does not hear of changes there: ")
        assert counted == [kind] * 3
        counted.clear()


async def test_it_is_told_again_after_a_while_or_after_it_was_allowed(
    refusing: Refusing, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level="INFO", form="json")

    async def later(seconds: float) -> list[str]:
        clock.now += seconds
        await refuse(refusing, CONFIG_MAPS)
        return [level for level, _ in told(capsys)]

    assert await later(0) == ["WARNING"]
    assert await later(LASTING_S) == ["ERROR"]
    again, pause = clock.now + AGAIN_S, OVER_S - 1
    while clock.now + pause < again:
        assert await later(pause) == []
    assert await later(pause) == ["ERROR"]
    assert await later(OVER_S) == ["WARNING"]
    assert await later(LASTING_S) == ["ERROR"]


async def test_other_lines_stay_as_they_are(
    refusing: Refusing, clock: Clock, counted: list[tuple[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    configure(level="INFO", form="json")
    for _ in range(2):
        await refuse(refusing, "a proxy says no")
        watching.error("something else")
        clock.now += LASTING_S
    assert [level for level, _ in told(capsys)] == ["WARNING", "ERROR"] * 2
    assert counted == []
