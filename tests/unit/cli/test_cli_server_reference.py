"""The reference of the command line is what the commands say."""

from __future__ import annotations

from claude_mem.cli.output import ExitCode
from hack.generate_cli_reference import EXIT_MEANINGS, TARGET, render


def test_the_checked_in_reference_is_current() -> None:
    assert TARGET.read_text(encoding="utf-8") == render(), "run python hack/generate_cli_reference.py"


def test_every_exit_code_has_a_meaning() -> None:
    assert set(EXIT_MEANINGS) == set(ExitCode)


def test_each_server_command_has_a_section_with_its_options() -> None:
    document = render()
    for name in ("start", "api-key create", "jobs retry", "project rename", "worker start", "doctor"):
        assert f"### `claude-mem server {name}`" in document
    assert "| `--role` `server`\\|`worker` | `server` |" in document
    assert "claude-mem server api-key revoke [OPTIONS] ID" in document
