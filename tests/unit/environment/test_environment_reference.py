"""The reference of the environment is what the code says, and nothing is read that it does not hold."""

from __future__ import annotations

import re
from pathlib import Path

from claude_mem.environment.catalogue import NAMES, UNREAD
from hack.generate_environment_reference import TARGET, render

ROOT = Path(__file__).parents[3]
LITERAL = re.compile(r"""["'](CLAUDE_MEM_[A-Z0-9]+(?:_[A-Z0-9]+)*)["']""")


def test_the_checked_in_reference_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python hack/generate_environment_reference.py"


def test_every_variable_stands_in_the_reference() -> None:
    document = TARGET.read_text(encoding="utf-8")
    assert [name for name in sorted(NAMES | set(UNREAD)) if f"`{name}`" not in document] == []


def test_the_runtime_reads_no_variable_that_is_not_declared() -> None:
    unknown = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in (ROOT / "runtime").rglob("*.py")
        for name in LITERAL.findall(path.read_text(encoding="utf-8"))
        if name not in NAMES and name not in UNREAD
    }
    assert sorted(unknown) == []
