"""How PostgreSQL runs a statement: planned for the values that it is asked with, and for any, which it may keep."""

from __future__ import annotations

import re
from collections.abc import Mapping

import asyncpg

from claude_mem.storage.catalog import Statement

#: Values of `plan_cache_mode`; left alone, PostgreSQL chooses between the two after some calls.
MODES = ("force_generic_plan", "force_custom_plan")

_SCANNED = re.compile(r" on (?P<table>\w+).*\(actual rows=(?P<rows>\d+) loops=(?P<loops>\d+)\)")
_REMOVED = re.compile(r"Rows Removed by .*: (\d+)")


def explained(statement: Statement, values: Mapping[str, object], *, options: str = "") -> str:
    """`EXPLAIN EXECUTE` of the statement, prepared as `asked`; what has no value is null."""
    found = [values.get(name) for name in statement.parameters]
    texts = ["NULL" if value is None else f"'{value}'" for value in found]
    return f"EXPLAIN {options} EXECUTE asked ({', '.join(texts)})"


async def rows_read(
    connection: asyncpg.Connection[asyncpg.Record],
    statement: Statement,
    values: Mapping[str, object],
    *,
    table: str,
) -> int:
    """How many rows of a table the statement, prepared as `asked`, looks at, those that no filter lets pass included.

    PostgreSQL tells the rows of a repeated scan as their mean, rounded.
    """
    asked = explained(statement, values, options="(ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)")
    read = loops = 0
    for (line,) in await connection.fetch(asked):
        if "(actual " in line or "(never executed)" in line:
            scanned = _SCANNED.search(line)
            loops = int(scanned["loops"]) if scanned and scanned["table"] == table else 0
            read += loops * int(scanned["rows"]) if scanned else 0
        elif removed := _REMOVED.search(line):
            read += loops * int(removed[1])
    return read
