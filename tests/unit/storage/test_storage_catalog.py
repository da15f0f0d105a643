"""The statements' files: both dialects say the same, and nothing stands there that nobody runs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import claude_mem
from claude_mem.storage import catalog

ROOT = Path(claude_mem.__file__).parent
#: What an adapter runs for itself is its own business, and only PostgreSQL has vectors.
OF_ONE_ADAPTER = ("database.", "vectors.")


def test_both_dialects_know_the_same_statements_with_the_same_parameters() -> None:
    postgres, sqlite = catalog.load("postgres"), catalog.load("sqlite")
    assert all(name.startswith(OF_ONE_ADAPTER) for name in set(postgres) ^ set(sqlite))
    for name, statement in sqlite.items():
        if name not in postgres:
            continue
        wanted = set(postgres[name].parameters)
        # Many rows travel as one JSON text in SQLite, and as a list for each column in PostgreSQL.
        if "rows" not in statement.parameters:
            assert set(statement.parameters) == wanted, name


def test_every_statement_has_somebody_who_runs_it() -> None:
    named = {
        node.value
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    begun = tuple(text for text in named if text.endswith("_") and "." in text)
    statements = set(catalog.load("postgres")) | set(catalog.load("sqlite"))
    assert {name for name in statements - named if not name.startswith(begun)} == set()


def test_placeholders_follow_the_first_use_of_each_parameter() -> None:
    compiled = catalog._compile("a.b", "SELECT :b::text, :a, :b WHERE x = :a_1", positional=True)
    assert compiled.sql == "SELECT $1::text, $2, $1 WHERE x = $3"
    assert compiled.parameters == ("b", "a", "a_1")
    assert catalog._compile("a.b", "SELECT :a", positional=False).sql == "SELECT :a"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n", "text before the first"),
        ("-- name: a.b\nSELECT 1;\n-- name: a.b\nSELECT 2;\n", "stands there twice"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "a.sql").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        catalog._read(tmp_path)
