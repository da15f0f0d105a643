"""hack/setup, which makes .venv: what a killed set-up has left, or was moved, is made anew, and a whole one is kept."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: Stands for uv: it notes what it is asked for, and makes and fills .venv.
UV = """\
#!/bin/bash
echo "$1 $2" >>"$CALLS"
case $1 in
  venv) rm -rf .venv; mkdir -p .venv/bin; ln -s "$PYTHON" .venv/bin/python ;;
  pip)
    if [[ $2 == "$BREAKS" ]]; then kill -KILL $PPID; fi
    touch .venv/bin/claude-mem; chmod +x .venv/bin/claude-mem ;;
esac
"""

WHOLE = ["venv --quiet", "pip sync", "pip install"]


class Checkout:
    """A checkout of its own with what hack/setup reads, beside a cache in which uv is there already."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "checkout"
        self.path.joinpath("hack").mkdir(parents=True)
        for name in ("hack/setup", "hack/apt.bash", "pyproject.toml"):
            shutil.copy(ROOT / name, self.path / name)
        shutil.copytree(ROOT / "requirements", self.path / "requirements")
        self._cache = directory / "cache"
        self._calls = directory / "calls"
        version = re.findall(r"^uv==([0-9.]+)", (ROOT / "requirements" / "uv.txt").read_text(), re.MULTILINE)
        uv = self._cache / "claude-mem" / f"uv-{version[0]}" / "bin" / "uv"
        uv.parent.mkdir(parents=True)
        uv.write_text(UV)
        uv.chmod(0o755)

    def set_up(self, *, breaks: str = "") -> list[str]:
        """What uv was asked for; `breaks` is what of it the set-up is killed in."""
        self._calls.write_text("")
        done = subprocess.run(
            [self.path / "hack" / "setup", "run"],
            capture_output=True,
            check=False,
            env={
                **os.environ,
                "XDG_CACHE_HOME": str(self._cache),
                "CALLS": str(self._calls),
                "BREAKS": breaks,
                "PYTHON": sys.executable,
            },
            text=True,
        )
        assert (done.returncode != 0) == bool(breaks), done.stderr
        return self._calls.read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path)
    assert made.set_up() == WHOLE
    return made


def test_what_is_settled_is_left_alone(checkout: Checkout) -> None:
    assert checkout.set_up() == []


def test_other_requirements_go_into_what_is_there(checkout: Checkout) -> None:
    with (checkout.path / "requirements" / "server.txt").open("a") as file:
        file.write("# other\n")
    assert checkout.set_up() == ["pip sync", "pip install"]
    assert checkout.set_up() == []


@pytest.mark.parametrize("step", ["sync", "install"])
def test_what_a_killed_set_up_has_left_is_made_anew(checkout: Checkout, step: str) -> None:
    (checkout.path / "requirements" / "server.txt").write_text("# other\n")
    assert checkout.set_up(breaks=step)[-1] == f"pip {step}"
    assert checkout.set_up() == WHOLE
    assert checkout.set_up() == []


def test_a_checkout_that_was_moved_is_set_up_where_it_is(checkout: Checkout) -> None:
    """Programs and the editable installation name the directory that they were made in."""
    checkout.path = checkout.path.rename(checkout.path.with_name("moved"))
    assert checkout.set_up() == WHOLE
    assert checkout.set_up() == []


def test_a_python_that_is_gone_is_replaced(checkout: Checkout) -> None:
    python = checkout.path / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3")
    assert checkout.set_up() == WHOLE
