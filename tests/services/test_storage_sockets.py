"""PostgreSQL by a Unix socket: asyncpg speaks no TLS there, which the rules on authorities of certificates rest on."""

from __future__ import annotations

import pytest

from claude_mem.environment.tls import asks_sockets
from claude_mem.model.errors import Unavailable
from claude_mem.settings.server import database_settings
from claude_mem.storage.opening import check
from tests.support.databases import PATIENT_WITH_POSTGRES
from tests.support.postgres import ROLE, PostgresServer

pytestmark = pytest.mark.services


def environment(url: str, **more: str) -> dict[str, str]:
    """Of a process that insists on a certificate, which the tests' PostgreSQL has none of."""
    return {
        "CLAUDE_MEM_SERVER_DATABASE_URL": url,
        "CLAUDE_MEM_POSTGRES_SSL": "verify-full",
        **PATIENT_WITH_POSTGRES,
        **more,
    }


@pytest.mark.parametrize("place", ["parameter", "host", "variable"])
async def test_no_mode_asks_for_a_certificate_on_a_socket(
    postgres: PostgresServer, postgres_url: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, database = str(postgres.directory), postgres_url.rpartition("/")[2]
    urls = {
        "parameter": f"postgresql:///{database}?user={ROLE}&host={directory}&port={postgres.port}",
        "host": f"postgresql://{ROLE}@{directory.replace('/', '%2F')}:{postgres.port}/{database}",
        "variable": f"postgresql://{ROLE}@/{database}?port={postgres.port}",
    }
    more = {"PGHOST": directory} if place == "variable" else {}
    for name, value in more.items():
        monkeypatch.setenv(name, value)
    environ = environment(urls[place], **more)
    assert asks_sockets(environ)
    assert (await check(database_settings(environ))).version is None


async def test_over_tcp_the_mode_counts(postgres_url: str) -> None:
    environ = environment(postgres_url)
    assert not asks_sockets(environ)
    with pytest.raises(Unavailable, match="does not answer"):
        await check(database_settings(environ))
