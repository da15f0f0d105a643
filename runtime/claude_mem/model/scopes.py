"""What a key may do: the two scopes that routes ask for, their aliases, and the administrator's."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

READ = "memories:read"
WRITE = "memories:write"
ADMIN_SCOPES = frozenset({"*", "admin", "memories:admin"})

#: Scopes that hook keys of claude-mem 13 carry, and the scope that routes ask for in their place.
ALIASES = {
    "events:write": WRITE,
    "sessions:write": WRITE,
    "observations:read": READ,
    "jobs:read": READ,
}

#: What a newly made key may carry.
KNOWN = frozenset({READ, WRITE, *ADMIN_SCOPES, *ALIASES})


def effective(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes with what their aliases stand for."""
    held = frozenset(scopes)
    return held | {ALIASES[scope] for scope in held if scope in ALIASES}


def allows(scopes: Iterable[str], required: str) -> bool:
    """Whether a key with these scopes may use a route that asks for `required`.

    Neither scope implies the other; `*` allows everything.
    """
    held = effective(scopes)
    return "*" in held or required in held


def is_admin(scopes: Iterable[str]) -> bool:
    """Whether the scopes include an administrator's."""
    return not ADMIN_SCOPES.isdisjoint(scopes)


def covers(granting: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether every wanted scope is already held, so that no key can make or touch a stronger one."""
    held = effective(granting)
    return is_admin(held) or effective(wanted) <= held
