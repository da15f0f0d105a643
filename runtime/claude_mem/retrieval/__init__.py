"""Finding what was remembered: how a question becomes a match expression of the storage at hand."""

from __future__ import annotations
