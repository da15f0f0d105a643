"""What may be changed of a project: its name, and the mode and the language in which it is observed.

The command line and HTTP share this. What a mode and a language mean is the generation package's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from claude_mem.generation.mode import LANGUAGES, ModeError
from claude_mem.model.documents import Document
from claude_mem.model.errors import InvalidInput, Issue
from claude_mem.services.cleaning import clean_text
from claude_mem.storage import tenancy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem.generation.mode import ModeLibrary
    from claude_mem.model.records import Project
    from claude_mem.storage.database import Executor

    #: Is shown a project before it is changed, and may raise.
    Check = Callable[[Project], None]

#: Members of a project's metadata that say how it is observed.
MODE: Final = "mode"
LANGUAGE: Final = "language"


@dataclass(frozen=True, slots=True)
class ProjectChange:
    """What to change of a project.

    Parameters:
        name: None leaves it.
        observing: a new mode and a new language, as far as they are named; None goes back to what holds for all projects.
    """

    name: str | None = None
    observing: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def details(self) -> dict[str, object]:
        """What the audit log says of it."""
        return ({} if self.name is None else {"name": self.name}) | dict(self.observing)


def checked(wanted: ProjectChange, modes: ModeLibrary) -> ProjectChange:
    """A change as it is stored.

    Raises: InvalidInput for a mode or a language that is not known.
    """
    name = None if wanted.name is None else clean_text(wanted.name)[0]
    observing = {member: _trimmed(value) for member, value in wanted.observing.items()}
    issues = [*_mode_issues(observing.get(MODE), modes), *_language_issues(observing.get(LANGUAGE))]
    if issues:
        raise InvalidInput(issues[0].message, tuple(issues))
    return ProjectChange(name, observing)


async def change_project(
    executor: Executor,
    wanted: ProjectChange,
    *,
    project_id: str,
    team_id: str,
    now_us: int,
    check: Check | None = None,
) -> Project | None:
    """Change a project; None where there is none.

    Parameters:
        wanted: as `checked` gives it.
        check: is shown the project while nobody else can change it, and may raise.
    """
    if not await tenancy.lock_exclusive(executor, project_id=project_id, team_id=team_id):
        return None
    project = await tenancy.find_project(executor, project_id=project_id, team_id=team_id)
    if project is None:
        return None
    if check is not None:
        check(project)
    members = project.metadata.members | dict(wanted.observing)
    metadata = {name: value for name, value in members.items() if name not in wanted.observing or value}
    return await tenancy.update_project(
        executor,
        project_id=project_id,
        team_id=team_id,
        name=project.name if wanted.name is None else wanted.name,
        metadata=Document.of(metadata) if wanted.observing else project.metadata,
        now_us=now_us,
    )


def _trimmed(value: str | None) -> str | None:
    return (value or "").strip() or None


def _mode_issues(mode: str | None, modes: ModeLibrary) -> list[Issue]:
    try:
        if mode is not None:
            modes.load(mode)
    except ModeError:
        known = ", ".join(modes.ids())
        message = (
            f"not a mode that this server has; those are {known}, each also with a language, as in code--de"
        )
        return [Issue("custom", ("mode",), message)]
    return []


def _language_issues(language: str | None) -> list[Issue]:
    names = {name.casefold() for name in LANGUAGES.values()}
    known = {*LANGUAGES, *names}
    if language is None or language.casefold().replace("_", "-") in known:
        return []
    message = f"not a known language; known are {', '.join(LANGUAGES)}, and their English names"
    return [Issue("custom", ("language",), message)]
