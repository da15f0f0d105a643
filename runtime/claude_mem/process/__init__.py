"""The processes: what a server and a worker are made of, how they start, and how they end."""

from __future__ import annotations
