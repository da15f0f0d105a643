"""The viewer's files need nothing from elsewhere, hold nothing inline, and put text on the page as text alone."""

from __future__ import annotations

import re

import pytest

from claude_mem.viewer.files import PAGE, viewer_files

SOURCES = {name: file.content.decode() for name, file in viewer_files().items()}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}

#: What turns text into markup or code.
PARSERS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|setHTML"
    r"|\beval\(|new Function|srcdoc|\.parseFromString"
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_parses_no_markup_and_runs_no_text(name: str) -> None:
    assert PARSERS.findall(SCRIPTS[name]) == []


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_import_is_there_and_every_name_is_exported(name: str) -> None:
    for names, source in re.findall(r'import {([^}]+)} from "([^"]+)"', SCRIPTS[name]):
        other = SCRIPTS[source.removeprefix("./")]
        exported = set(re.findall(r"^export (?:async )?(?:function|const|class) (\w+)", other, re.MULTILINE))
        wanted = {one.strip() for one in names.split(",") if one.strip()}
        assert wanted <= exported, source
        used = {one for one in wanted if re.search(rf"\b{one}\b", SCRIPTS[name].replace(f"{{{names}}}", ""))}
        assert used == wanted, f"imported and not used: {wanted - used}"


@pytest.mark.parametrize("name", SOURCES)
def test_nothing_is_loaded_from_elsewhere(name: str) -> None:
    named = set(
        re.findall(
            r"(?:https?:)?//[\w.-]+\.\w+[^\s\"'`]*", re.sub(r"/\*.*?\*/", "", SOURCES[name], flags=re.DOTALL)
        )
    )
    assert {one for one in named if "www.w3.org/2000/svg" not in one} == set()
    assert "@import" not in SOURCES[name]


def test_the_page_holds_nothing_inline() -> None:
    page = SOURCES[PAGE]
    assert re.findall(r"<style|<script(?![^>]* src=)|\son\w+=|\sstyle=|javascript:", page) == []


def test_files_stay_small() -> None:
    assert max(text.count("\n") for text in SOURCES.values()) < 300
    assert sum(len(text) for text in SOURCES.values()) < 150_000
