"""Images made of Debian's packages, where no registry is reached: one that could not be made is made again."""

from __future__ import annotations

import secrets

import pytest

from tests.containers.stack import SCRIPTS, engine, run

#: Seconds for a set-up that waits for another one, which makes images.
SET_UP_S = 1800


def test_a_name_with_nothing_behind_it_is_not_taken_for_an_image() -> None:
    """An import of nothing, which is what comes of packages that could not be fetched, is no error."""
    if "podman" not in engine("--version").stdout:
        pytest.skip("Docker takes its images from registries: none is made here")
    name = f"localhost/claude-mem-stand-in/python:test-{secrets.token_hex(4)}"
    engine("import", "--quiet", "-", name)
    run(str(SCRIPTS / "setup"), timeout=SET_UP_S)
    assert engine("image", "exists", name, check=False).code == 1
