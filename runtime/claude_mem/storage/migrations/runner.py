"""What both engines share: migration files, their states, reports and errors.

A migration is one numbered `.sql` file. It starts with directives (`-- description:`,
`-- transaction:`) and holds statements that each start with `-- name:` and a comment that gives the
statement's reason. The names split the file, so function bodies and triggers may contain semicolons. How
statements are locked and run is left to the engines' modules.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Engine = Literal["postgres", "sqlite"]

MIGRATIONS_TABLE = "server_beta_schema_migrations"

DEADLINE_S = 600.0
"""Seconds a migration waits for its locks before it gives up; an index on a large table is not cut short."""

_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>[a-z0-9_]+)\.sql")
_DIRECTIVE = re.compile(r"^-- (?P<key>description|transaction): (?P<value>.+)$", re.MULTILINE)
_NAME = re.compile(r"^-- name: (?P<name>[a-z0-9_]+)$", re.MULTILINE)


class MigrationError(Exception):
    """Raised when the schema cannot be brought to the version this code needs."""


class SchemaTooNew(MigrationError):
    """Raised when the database was migrated by a newer release than this one."""

    def __init__(self, *, found: int, latest: int) -> None:
        super().__init__(
            f"The database schema is at version {found}; this release knows versions up to {latest}. "
            "A newer release of claude-mem has migrated it. Run that release or a newer one, "
            "or restore a backup taken before the upgrade."
        )
        self.found = found
        self.latest = latest


class SchemaForeign(MigrationError):
    """Raised when a version number is taken by a migration that is not ours."""

    def __init__(self, *, version: int, description: str) -> None:
        super().__init__(
            f"{MIGRATIONS_TABLE} says that version {version} is {description!r}, which is not this program's "
            f"migration {version}. Another program migrated this database. Point claude-mem at a database of "
            "its own, or use a release that knows this migration."
        )
        self.version = version
        self.description = description


class MigrationFailed(MigrationError):
    """Raised when a statement of a migration failed; what it had not committed was rolled back."""

    def __init__(self, version: int, statement: str, cause: str) -> None:
        super().__init__(
            f"Migration {version} failed in statement {statement!r}: {cause}. Nothing half-done is left in "
            "the way: mend the cause and run `claude-mem server migrate` again; it continues from here."
        )
        self.version = version
        self.statement = statement
        self.cause = cause


@dataclass(frozen=True, slots=True)
class Statement:
    """One named SQL statement of a migration file."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file. Without `atomic` each statement commits alone and must be repeatable."""

    version: int
    name: str
    description: str
    atomic: bool
    statements: tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Where a database stands: the highest recorded version (None: never migrated) against this release's."""

    version: int | None
    latest: int
    pending: tuple[str, ...]
    adopted: bool

    @property
    def current(self) -> bool:
        """Whether there is nothing to apply and nothing unknown."""
        return not self.pending and self.version is not None and self.version <= self.latest


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What one call did: versions applied by it, the version reached, seconds spent waiting for others."""

    applied: tuple[int, ...]
    version: int
    waited_s: float


def load_migrations(engine: Engine) -> tuple[Migration, ...]:
    """Every migration of an engine, in order of version.

    ValueError is raised when a file is misnamed, has no description or no named statement, or when the
    numbers leave a gap.
    """
    folder = resources.files(__package__) / "sql" / engine
    files = sorted((entry.name, entry.read_text("utf-8")) for entry in folder.iterdir())
    migrations = tuple(parse_migration(name, text) for name, text in files)
    if [migration.version for migration in migrations] != list(range(1, len(migrations) + 1)):
        raise ValueError(f"the {engine} migrations are not numbered 1, 2, 3 …: {[name for name, _ in files]}")
    return migrations


def parse_migration(file_name: str, text: str) -> Migration:
    """One file's migration. ValueError is raised when the name or the text breaks the form."""
    match = _FILE.fullmatch(file_name)
    head, *parts = _NAME.split(text)
    directives = {found["key"]: found["value"].strip() for found in _DIRECTIVE.finditer(head)}
    if match is None or "description" not in directives or not parts:
        raise ValueError(f"{file_name}: needs a name like 0002_topic.sql, a description and named statements")
    return Migration(
        version=int(match["version"]),
        name=match["name"],
        description=directives["description"],
        atomic=directives.get("transaction") != "none",
        statements=tuple(
            Statement(name, sql.strip()) for name, sql in zip(parts[::2], parts[1::2], strict=True)
        ),
    )


def pending(
    migrations: tuple[Migration, ...], recorded: Mapping[int, str], *, target: int | None
) -> tuple[Migration, ...]:
    """The migrations still to apply, up to version `target` (None: the newest).

    `recorded` maps versions to descriptions, as the migrations table has them. SchemaTooNew is raised when
    one is beyond the newest migration, SchemaForeign when one from 2 on is not our migration of that number.
    """
    latest = migrations[-1].version
    if recorded and max(recorded) > latest:
        raise SchemaTooNew(found=max(recorded), latest=latest)
    for migration in migrations[1:]:
        found = recorded.get(migration.version, migration.description)
        if found != migration.description:
            raise SchemaForeign(version=migration.version, description=found)
    limit = latest if target is None else target
    return tuple(item for item in migrations if item.version <= limit and item.version not in recorded)


def state(migrations: tuple[Migration, ...], recorded: Mapping[int, str]) -> SchemaState:
    """The state that a migrations table describes; it never raises, so that a check can show any database."""
    first = migrations[0]
    return SchemaState(
        version=max(recorded, default=None),
        latest=migrations[-1].version,
        pending=tuple(
            f"{item.version:04d}_{item.name}" for item in migrations if item.version not in recorded
        ),
        adopted=recorded.get(1, first.description) != first.description,
    )


def backoff(*, first_s: float, most_s: float) -> Iterator[float]:
    """Endless pauses in seconds, growing by half each time up to `most_s`, each jittered by a quarter."""
    pause = first_s
    while True:
        yield pause * random.uniform(0.75, 1.25)  # noqa: S311 - spreads processes, guards nothing
        pause = min(most_s, pause * 1.5)
