"""Live streams: what changes within a caller's scope, from the database, as it happens and after an interruption.

Every change is read from rows that committed, so nothing depends on a message arriving. A line's time is taken before
its transaction commits; so each look goes back `SETTLED_US`, and what was told already is remembered for as long.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Literal

from claude_mem.model.times import now_us
from claude_mem.services.refusals import refuse_storage_errors
from claude_mem.services.scope import require_project
from claude_mem.storage import audit, changes, jobs, observations
from claude_mem.storage.cursors import Cursor

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from claude_mem.model.records import Job, Observation
    from claude_mem.services.context import RequestContext
    from claude_mem.storage.changes import Change
    from claude_mem.storage.database import Database

#: Microseconds after which no line with an earlier time can commit any more: longer than a transaction takes, and than
#: the clocks of servers and workers differ.
SETTLED_US = 10_000_000

#: Microseconds that a stream can be taken up again after; who was away longer reads the lists anew.
RESUMABLE_US = 3600 * 1_000_000

#: Lines that are read together, and things that are told together.
LINES = 500

_OF_OBSERVATION = {
    "memory.write": "created",
    "observation.created": "created",
    "memory.update": "updated",
}


@dataclass(frozen=True, slots=True)
class News:
    """One thing that a stream tells.

    Parameters:
        at_us: its time, and where to take the stream up again, in microseconds.
        kind: of the thing; `purged` is a whole project's memory.
        found: the thing as it is now; None for what is gone.
        id: of the observation, job or project.
        change: `created`, `updated` or `deleted` of observations; empty for others.
    """

    at_us: int
    kind: Literal["observation", "job", "purged"]
    id: str
    found: Observation | Job | None = None
    change: str = ""

    @property
    def is_there(self) -> bool:
        """Whether it tells of a thing as it is, and not of its end."""
        return self.kind != "purged" and self.change != "deleted"


async def open_feed(
    database: Database, context: RequestContext, *, project_id: str | None, since_us: int | None
) -> Feed:
    """A feed that has begun, with its line in the audit log.

    Raises: Forbidden for a project outside the caller's scope, Unavailable.
    """
    with refuse_storage_errors():
        if project_id is not None:
            await require_project(database, context, project_id=project_id)
        project_id = project_id or context.principal.project_id
        feed = Feed(database, context, project_id=project_id, since_us=since_us)
        entry = context.audit(
            "observation.read", "observation", resource_id=None, project_id=project_id, mode="stream"
        )
        await audit.append_alone(database, entry, now_us=now_us())
        await feed.begin()
    return feed


class Feed:
    """One reader's view of what changes.

    Parameters:
        project_id: the only project to look at; None is the whole of the caller's team.
        since_us: where an interrupted stream had come to, in microseconds; None begins now.

    Attributes:
        gap: `since_us` is too long ago, or no time that a stream gave; this one begins now.
        position_us: the latest time of a line that was read.
    """

    def __init__(
        self, database: Database, context: RequestContext, *, project_id: str | None, since_us: int | None
    ) -> None:
        self._database = database
        self._team_id = context.team_id
        self._project_id = project_id
        now = now_us()
        resumed = since_us is not None and now - RESUMABLE_US <= since_us <= now + SETTLED_US
        self.gap = since_us is not None and not resumed
        self.position_us = since_us if since_us is not None and resumed else now
        self._resumed = resumed
        self._settled = Cursor(self.position_us - SETTLED_US, "")
        self._told: dict[str, int] = {}
        self._due: list[News] = []

    async def begin(self) -> None:
        """Take what is there when a new stream begins for told, as its reader lists it; what commits later is news."""
        if not self._resumed:
            await self._lines()

    async def read(self) -> list[News]:
        """What happened since the last call, oldest first; may be empty. Behind long texts the next call goes on.

        Raises: Unavailable; then the next call reads the same again.
        """
        if not self._due:
            told, settled, position = dict(self._told), self._settled, self.position_us
            try:
                self._due = _due(await self._lines())
            except BaseException:
                self._told, self._settled, self.position_us = told, settled, position
                raise
        if not self._due:
            return []
        news, self._due = await self._parted(self._due)
        return news

    async def _lines(self) -> list[Change]:
        """Lines that were not told yet; they count as told from now on."""
        fresh: list[Change] = []
        after = self._settled
        horizon = now_us() - SETTLED_US
        while True:
            found = await changes.list_changes(
                self._database, team_id=self._team_id, project_id=self._project_id, after=after, limit=LINES
            )
            fresh += [line for line in found if line.id not in self._told]
            self._told |= {line.id: line.at_us for line in found}
            if found:
                self.position_us = max(self.position_us, found[-1].at_us)
                after = Cursor(found[-1].at_us, found[-1].id)
            if len(found) < LINES or len(fresh) >= LINES:
                break
        # A page in the past may end before the horizon: no further than what was read.
        settled_us = min(horizon, after.at_us) if len(found) == LINES else horizon
        if settled_us > self._settled.at_us:
            self._settled = Cursor(settled_us, "")
            self._told = {line: at_us for line, at_us in self._told.items() if at_us >= settled_us}
        return fresh

    async def _parted(self, due: list[News]) -> tuple[list[News], list[News]]:
        """The first of what is due with the things as they are now, as far as there is room for texts, and what is left.

        What is gone since is left out. One line may be news of many jobs, so things are counted too.
        """
        page = due[:LINES]
        wanted = [one.id for one in page if one.kind == "observation" and one.is_there]
        memories, left = await observations.find_slice(self._database, wanted, team_id=self._team_id)
        behind = frozenset(left)
        first = list(takewhile(lambda one: one.id not in behind, page))
        found_jobs = await jobs.find_by_ids(self._database, [one.id for one in first if one.kind == "job"])
        found: dict[str, Observation | Job] = {**memories, **found_jobs}
        news = [replace(one, found=found.get(one.id)) if one.is_there else one for one in first]
        return [one for one in news if not one.is_there or self._sees(one.found)], due[len(first) :]

    def _sees(self, found: Observation | Job | None) -> bool:
        return (
            found is not None
            and found.team_id == self._team_id
            and self._project_id in {None, found.project_id}
        )


def _due(lines: Sequence[Change]) -> list[News]:
    """What lines are to be told as, without the things themselves."""
    due: dict[tuple[str, str], News] = {}
    for line in lines:
        for one in _told_by(line):
            # A thing that changed twice is told once, as it is now, in the place of its latest change.
            earlier = due.pop((one.kind, one.id), None)
            due[one.kind, one.id] = _merged(earlier, one)
    return list(due.values())


def _told_by(line: Change) -> Iterator[News]:
    subject = line.resource_id or ""
    if line.action in _OF_OBSERVATION:
        yield News(line.at_us, "observation", subject, change=_OF_OBSERVATION[line.action])
    elif line.action == "observation.deleted":
        yield News(line.at_us, "observation", subject, change="deleted")
    elif line.action == "project.memory_purged":
        yield News(line.at_us, "purged", subject)
    else:
        for job_id in line.job_ids or (subject,):
            yield News(line.at_us, "job", job_id)


def _merged(earlier: News | None, later: News) -> News:
    created = earlier is not None and earlier.change == "created" and later.change == "updated"
    if not created:
        return later
    return replace(later, change="created")
