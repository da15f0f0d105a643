"""Variables of hooks and commands that talk to a server; they are read by the client, never by a server."""

from __future__ import annotations

from claude_mem.environment import kinds

CLIENT = "Client"

SERVER_URL = kinds.optional_text(
    "CLAUDE_MEM_SERVER_URL",
    group=CLIENT,
    alternatives=("CLAUDE_MEM_SERVER_BETA_URL",),
    expects="an http or https URL",
    default_text="the user's own: 127.0.0.1 and the default port",
    judged=True,
    meaning="The server that hooks and commands talk to.",
)
SERVER_API_KEY = kinds.secret(
    "CLAUDE_MEM_SERVER_API_KEY",
    group=CLIENT,
    alternatives=("CLAUDE_MEM_SERVER_BETA_API_KEY",),
    expects="an API key of the server",
    meaning="The key that hooks and commands present.",
)
SERVER_PROJECT_ID = kinds.optional_text(
    "CLAUDE_MEM_SERVER_PROJECT_ID",
    group=CLIENT,
    alternatives=("CLAUDE_MEM_SERVER_BETA_PROJECT_ID",),
    expects="the id of a project",
    meaning="The project that events and memories belong to.",
)
SERVER_ADMIN = kinds.switch(
    "CLAUDE_MEM_SERVER_ADMIN",
    group=CLIENT,
    meaning="1 lets the jobs commands work without naming a team or project.",
)
