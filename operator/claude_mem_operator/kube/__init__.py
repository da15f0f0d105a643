"""The port to the API server, and its adapter: reading and writing objects, and nothing that decides."""

from __future__ import annotations
