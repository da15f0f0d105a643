"""The settings of one server or worker process: typed, frozen, grouped, and read from its environment once.

Leaves to `claude_mem.environment` which variables there are, how their texts are read, and whether a process
may start with them at all.
"""

from __future__ import annotations

from claude_mem.environment import EnvironmentInvalid
from claude_mem.settings.groups import (
    AuthSettings,
    DatabaseSettings,
    EmbeddingSettings,
    GenerationSettings,
    HttpSettings,
    JobSettings,
    LimitSettings,
    LogSettings,
    PathSettings,
    QueueSettings,
)
from claude_mem.settings.server import ServerSettings, database_settings, queue_settings

__all__ = [
    "AuthSettings",
    "DatabaseSettings",
    "EmbeddingSettings",
    "EnvironmentInvalid",
    "GenerationSettings",
    "HttpSettings",
    "JobSettings",
    "LimitSettings",
    "LogSettings",
    "PathSettings",
    "QueueSettings",
    "ServerSettings",
    "database_settings",
    "queue_settings",
]
