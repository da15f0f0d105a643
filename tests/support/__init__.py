"""What tests, the demo and the benchmarks start for real: processes, a PostgreSQL, a Valkey, free ports."""

from __future__ import annotations
