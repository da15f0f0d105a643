"""Modes: which types of observation there are and what to look for, as data files.

A mode is `<id>.json`. Ids are `parent` or `parent--override`: an override file holds only what differs and is
merged into its parent one level deep; where no such file exists and the override is a known language tag
(`code--de`), the parent is used in that language. Directories are searched in order, the package's own last.
Wording prompts from a mode is `prompts`' task.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGE_MODES = Path(__file__).parent / "modes"
DEFAULT_MODE = "code"
_LANGUAGES_FILE = Path(__file__).parent / "languages.json"
_ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*(--[a-z0-9]+(-[a-z0-9]+)*)?")


class ModeError(ValueError):
    """Raised when a mode does not exist or its file cannot be used; the message says which and where."""


class _Term(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    id: Annotated[str, Field(min_length=1)]
    description: str = ""


class _Prompts(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    role: str = ""
    record: str = ""
    skip: str = ""
    summary: str = ""


class _ModeFile(BaseModel):
    """The file's form. Unknown keys are ignored, so files with more in them can be used."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = ""
    description: str = ""
    language: str | None = None
    observation_types: Annotated[list[_Term], Field(min_length=1)]
    observation_concepts: list[_Term] = Field(default_factory=list)
    prompts: _Prompts = _Prompts()


@dataclass(frozen=True, slots=True)
class Mode:
    """A loaded mode.

    Parameters:
        id: id it was asked for by.
        name: label for people.
        types: allowed types in order, id to meaning; a reply without a type gets the first.
        concepts: allowed concepts, id to meaning.
        role, record, skip, summary: wording for the prompt; may be empty.
        language: language to write in (a name), None for that of the events.
    """

    id: str
    name: str
    types: dict[str, str]
    concepts: dict[str, str] = field(default_factory=dict)
    role: str = ""
    record: str = ""
    skip: str = ""
    summary: str = ""
    language: str | None = None

    @property
    def default_type(self) -> str:
        """Type of an observation whose reply names none."""
        return next(iter(self.types))


class ModeLibrary:
    """Loads modes and keeps them; a changed file is seen by a new library."""

    def __init__(self, directories: Iterable[Path] = ()) -> None:
        """Search `directories` in order, then the package's own modes."""
        self._directories = (*directories, PACKAGE_MODES)
        self._loaded: dict[str, Mode] = {}

    @classmethod
    def of(cls, *, data_dir: Path, modes_dir: Path | None) -> Self:
        """The library of an installation: its own directory if it has one, then `modes` of the data directory."""
        return cls([*([modes_dir] if modes_dir else []), data_dir / "modes"])

    def load(self, mode_id: str = DEFAULT_MODE) -> Mode:
        """Return the mode of that id.

        Raises:
            ModeError: no such mode, a malformed id, or a file that cannot be used.
        """
        if mode_id not in self._loaded:
            self._loaded[mode_id] = self._read(mode_id)
        return self._loaded[mode_id]

    def ids(self) -> list[str]:
        """Ids of all mode files found, sorted."""
        names = (
            path.stem for folder in self._directories if folder.is_dir() for path in folder.glob("*.json")
        )
        return sorted({name for name in names if _ID.fullmatch(name)})

    def _read(self, mode_id: str) -> Mode:
        if not _ID.fullmatch(mode_id):
            raise ModeError(
                f"{mode_id!r} is not a mode id: use lower-case words joined by hyphens, such as 'code'"
            )
        document, language = self._document(mode_id)
        try:
            file = _ModeFile.model_validate(document)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise ModeError(f"mode {mode_id!r} cannot be used: {place}: {first['msg']}") from None
        return Mode(
            id=mode_id,
            name=file.name or mode_id,
            types={term.id: term.description for term in file.observation_types},
            concepts={term.id: term.description for term in file.observation_concepts},
            role=file.prompts.role,
            record=file.prompts.record,
            skip=file.prompts.skip,
            summary=file.prompts.summary,
            language=language_name(language or file.language),
        )

    def _document(self, mode_id: str) -> tuple[dict[str, Any], str | None]:
        parent, separator, override = mode_id.partition("--")
        path = self._find(parent)
        if path is None:
            places = ", ".join(str(folder) for folder in self._directories)
            raise ModeError(f"there is no mode {parent!r}: no {parent}.json in {places}")
        document = _load_object(path)
        if not separator:
            return document, None
        override_path = self._find(mode_id)
        if override_path is not None:
            return _merge(document, _load_object(override_path)), None
        if override in LANGUAGES:
            return document, override
        raise ModeError(
            f"there is no mode {mode_id!r}: {override!r} is neither a file nor a known language tag"
        )

    def _find(self, name: str) -> Path | None:
        candidates = (folder / f"{name}.json" for folder in self._directories)
        return next((path for path in candidates if path.is_file()), None)


def _load_object(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModeError(f"mode file {path} cannot be read: {error}") from error
    if not isinstance(document, dict):
        raise ModeError(f"mode file {path} must hold a JSON object")
    return document


def _merge(parent: dict[str, Any], override: dict[str, Any]) -> dict[str, Any]:
    """Override wins; where both hold an object, its keys are merged, and no deeper."""
    merged = dict(parent)
    for key, value in override.items():
        below = merged.get(key)
        merged[key] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


LANGUAGES: dict[str, str] = json.loads(_LANGUAGES_FILE.read_text(encoding="utf-8"))
"""Language tag to English name."""


def language_name(language: str | None) -> str | None:
    """English name of a language given as a tag (`de`, `pt-BR`) or already by name; None for none or blank.

    Text that is neither a known tag nor a plain name of letters gives None, so a setting cannot smuggle
    instructions into a prompt.
    """
    asked = (language or "").strip()
    tag = asked.lower().replace("_", "-")
    known = LANGUAGES.get(tag) or LANGUAGES.get(tag.split("-")[0])
    if known:
        return known
    plain = len(asked) <= 40 and asked.replace(" ", "").replace("-", "").isalpha()
    return asked if plain else None
