"""The dumps of config/backup.yaml and the commands that restore them, against a real PostgreSQL."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.support.backup import pod
from tests.support.databases import Storage, migrate_database
from tests.support.postgres import bin_directory

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "backup-and-upgrade.md"
KEPT = 14


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """What stands for the volume of dumps."""
    made = tmp_path / "backups"
    made.mkdir()
    return made


@pytest.fixture
def environment(postgres_storage: Storage, volume: Path) -> dict[str, str]:
    """What the container's script finds around it: the database, and a volume for dumps."""
    url = urlsplit(postgres_storage.url)
    return {
        "PATH": f"{bin_directory()}:{os.environ['PATH']}",
        "BACKUPS": str(volume),
        "PGHOST": str(url.hostname),
        "PGPORT": str(url.port),
        "PGUSER": str(url.username),
        "PGDATABASE": url.path.lstrip("/"),
    }


def dump(environment: dict[str, str]) -> int:
    """Run what the CronJob's container runs; its exit status."""
    command = pod()["spec"]["containers"][0]["command"]
    return subprocess.run(command, env=environment, check=False, timeout=120).returncode


def dumps(volume: Path) -> list[Path]:
    """The whole ones, the oldest first."""
    return sorted(volume.glob("*.dump"))


def restore(environment: dict[str, str], file: Path) -> None:
    """Run what the page has run within PostgreSQL's pod."""
    (script,) = re.findall(r"^kubectl exec -i \S+ -- sh -euc '\n(.*?)' <", PAGE.read_text(), re.M | re.S)
    with file.open("rb") as stream:
        subprocess.run(["sh", "-euc", script], env=environment, stdin=stream, check=True, timeout=120)


async def test_a_dump_is_restored_over_what_came_after_it(
    postgres_storage: Storage, environment: dict[str, str], volume: Path
) -> None:
    await postgres_storage.query("INSERT INTO teams (id, name) VALUES ('before', 'before')")
    assert dump(environment) == 0
    await postgres_storage.query("INSERT INTO teams (id, name) VALUES ('after', 'after')")
    await postgres_storage.query("CREATE TABLE of_a_later_release (id text)")
    (file,) = dumps(volume)
    restore(environment, file)
    assert await postgres_storage.query("SELECT id FROM teams WHERE id IN ('before', 'after')") == [
        ("before",)
    ]
    assert await postgres_storage.query("SELECT to_regclass('of_a_later_release')::text") == [(None,)]
    migrate_database(postgres_storage.settings)
    await postgres_storage.open()
    await postgres_storage.close()


def test_the_newest_dumps_are_kept_and_only_their_owner_may_read_them(
    environment: dict[str, str], volume: Path
) -> None:
    for day in range(1, 20):
        (volume / f"2001-01-{day:02}T02-30-00Z.dump").touch()
    (volume / "2001-01-20T02-30-00Z.dump.unfinished").touch()
    assert dump(environment) == 0
    left = sorted(path.name for path in volume.iterdir())
    assert len(left) == KEPT
    assert left[0] == "2001-01-07T02-30-00Z.dump"
    newest = volume / left[-1]
    assert newest.stat().st_size > 0
    assert newest.stat().st_mode & 0o777 == 0o600


def test_a_dump_that_fails_says_so_and_takes_nothing_away(environment: dict[str, str], volume: Path) -> None:
    for day in range(1, 20):
        (volume / f"2001-01-{day:02}T02-30-00Z.dump").touch()
    assert dump({**environment, "PGDATABASE": "not_there"}) != 0
    assert len(dumps(volume)) == 19
