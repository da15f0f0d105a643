"""Fixtures of the tests of generation."""

from __future__ import annotations

from tests.support.engines import llm
from tests.support.providers import name, provider

__all__ = ["llm", "name", "provider"]
