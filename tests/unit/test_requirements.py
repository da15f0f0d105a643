"""The pinned requirements name every direct dependency, hashed, and nothing of any machine."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FILES = {
    "server.txt": [*PROJECT["dependencies"], *EXTRAS["server"], *EXTRAS["otel"]],
    "operator.txt": [*PROJECT["dependencies"], *EXTRAS["operator"]],
    "dev.txt": [*PROJECT["dependencies"], *EXTRAS["server"], *EXTRAS["operator"], *EXTRAS["dev"]],
}


def pins(name: str) -> dict[str, Version]:
    text = (ROOT / "requirements" / name).read_text()
    return {
        match[1]: Version(match[2]) for match in re.finditer(r"^([a-z0-9-]+)==([^ ]+)", text, re.MULTILINE)
    }


@pytest.mark.parametrize("name", FILES)
def test_every_direct_dependency_is_pinned_to_a_version_that_fits(name: str) -> None:
    pinned = pins(name)
    for line in FILES[name]:
        requirement = Requirement(line)
        version = pinned.get(requirement.name)
        assert version is not None, f"{requirement.name} is not in requirements/{name}: run 'make lock'"
        assert requirement.specifier.contains(version), f"{requirement.name}: run 'make lock'"


@pytest.mark.parametrize("name", ["server.txt", "operator.txt"])
def test_what_is_shipped_is_what_is_tested(name: str) -> None:
    tested = pins("dev.txt")
    assert {package: tested.get(package) for package in pins(name)} == pins(name)


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_requirement_is_hashed_and_no_index_or_path_is_named(path: Path) -> None:
    entries = re.split(r"^(?=[a-z0-9])", path.read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--index-url|--find-links|^.*(?:/home/|/root/|/tmp/).*$", path.read_text()) == []
