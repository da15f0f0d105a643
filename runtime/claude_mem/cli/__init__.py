"""The command line. Nothing here does the work; commands call the packages that do."""

from __future__ import annotations
