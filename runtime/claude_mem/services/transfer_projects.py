"""Which project of a team takes in what an import has of another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from claude_mem.model.times import now_us
from claude_mem.services.transfer_format import ProjectLine
from claude_mem.services.transfer_lines import BadLine
from claude_mem.services.transfer_rows import derived_id
from claude_mem.storage import tenancy

if TYPE_CHECKING:
    from claude_mem.model.records import Project
    from claude_mem.services.transfer_lines import Item
    from claude_mem.services.transfer_rows import Outcome
    from claude_mem.storage.database import Executor


class Projects:
    """Finds and makes projects.

    Parameters:
        project_id: takes in everything; None finds one for each project of the import.
    """

    def __init__(self, team_id: str, project_id: str | None, known: dict[str, str] | None = None) -> None:
        self._team_id = team_id
        self._project_id = project_id
        self._known = known or {}
        self._made: list[tuple[str, str]] = []

    def made(self) -> list[tuple[str, str]]:
        """Ids and names of projects that were made since this was asked last."""
        made, self._made = self._made, []
        return made

    def copy(self) -> Projects:
        """One that may be thrown away when its transaction is."""
        return Projects(self._team_id, self._project_id, dict(self._known))

    async def place(self, executor: Executor, item: Item, outcome: Outcome) -> str:
        """The project of this team to which a line goes.

        Raises: BadLine when there is none.
        """
        if self._project_id is not None:
            return self._project_id
        if isinstance(item.line, ProjectLine):
            project_id = await self._declared(executor, item, outcome)
            self._known[item.id] = project_id
            return project_id
        given = str(item.values["project_id"])
        if given not in self._known:
            found = await tenancy.find_project(executor, project_id=given, team_id=self._team_id)
            if found is None:
                raise BadLine("projectId: no project line before it names this project")
            self._known[given] = found.id
        return self._known[given]

    async def _declared(self, executor: Executor, item: Item, outcome: Outcome) -> str:
        team_id, name = self._team_id, item.values["name"]
        derived = derived_id(team_id, item.id)
        for project_id in (item.id, derived):
            found = await tenancy.find_project(executor, project_id=project_id, team_id=team_id)
            if found is not None:
                return self._counted(found, outcome)
        found = await tenancy.find_project_by_name(executor, team_id=team_id, name=name)
        if found is not None:
            return self._counted(found, outcome)
        for project_id in (item.id, derived):
            added = await tenancy.add_project(
                executor,
                project_id=project_id,
                team_id=team_id,
                name=name,
                metadata=item.documents["metadata"],
                now_us=now_us(),
            )
            if added:
                outcome.stored["projects"] += 1
                self._made.append((project_id, name))
                return project_id
        raise BadLine("id: the project cannot be made here")

    @staticmethod
    def _counted(found: Project, outcome: Outcome) -> str:
        outcome.duplicates["projects"] += 1
        return found.id
