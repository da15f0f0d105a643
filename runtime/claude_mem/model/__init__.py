"""What the server is about: events, sessions, observations, jobs, and their names. Pure, without I/O."""

from __future__ import annotations
