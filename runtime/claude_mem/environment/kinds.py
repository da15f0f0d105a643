"""The kinds of values that are no numbers, each a constructor of `Variable`: its reader, and what it expects.

A reader raises ValueError for a text that is not of its kind. Numbers are left to `numeric`.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import SecretStr

from claude_mem.environment.urls import http_problem
from claude_mem.environment.values import is_off, is_on
from claude_mem.environment.variables import Variable, always


def switch(name: str, *, group: str, meaning: str) -> Variable[bool]:
    """Off unless `1` or `true`, in any case."""

    def parse(raw: str) -> bool:
        if is_on(raw):
            return True
        if is_off(raw):
            return False
        raise ValueError(raw)

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects="1 or true, 0 or false",
        parse=parse,
        default=always(False),  # noqa: FBT003 - a value, not an argument that steers
        default_text="off",
    )


def choice(name: str, *, group: str, choices: tuple[str, ...], default: str, meaning: str) -> Variable[str]:
    """One of `choices`, written in any case."""
    by_lower_case = {one.lower(): one for one in choices}

    def parse(raw: str) -> str:
        try:
            return by_lower_case[raw.lower()]
        except KeyError:
            raise ValueError(raw) from None

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects=f"one of {', '.join(choices)}",
        parse=parse,
        default=always(default),
        default_text=default,
    )


def word(
    name: str, *, group: str, default: str, meaning: str, pattern: str = ".{1,200}", expects: str = "a text"
) -> Variable[str]:
    """A text that matches `pattern`."""

    def parse(raw: str) -> str:
        if not re.fullmatch(pattern, raw):
            raise ValueError(raw)
        return raw

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects=expects,
        parse=parse,
        default=always(default),
        default_text=default,
    )


def optional_text(
    name: str,
    *,
    group: str,
    meaning: str,
    expects: str = "a text",
    default_text: str = "",
    judged: bool = False,
    alternatives: tuple[str, ...] = (),
) -> Variable[str | None]:
    """Any text, or None; `judged` where a rule of its own says which texts are good."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects=expects,
        parse=str,
        default=always(None),
        default_text=default_text,
        alternatives=alternatives,
        judged=judged,
    )


def secret(
    name: str, *, group: str, meaning: str, alternatives: tuple[str, ...] = (), expects: str = "a secret"
) -> Variable[SecretStr | None]:
    """A text that shows in no repr, log or message."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects=expects,
        parse=SecretStr,
        default=always(None),
        default_text="",
        alternatives=alternatives,
        sensitive=True,
    )


def optional_path(
    name: str, *, group: str, meaning: str, expects: str = "a directory", default_text: str = ""
) -> Variable[Path | None]:
    """A path of this machine, `~` expanded."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects=expects,
        parse=read_path,
        default=always(None),
        default_text=default_text,
    )


def read_path(raw: str) -> Path:
    """The path that `raw` names, `~` expanded; raises ValueError where there is no such home."""
    try:
        return Path(raw).expanduser()
    except RuntimeError:
        raise ValueError(raw) from None


def address(
    name: str, *, group: str, default: str | None, meaning: str, alternatives: tuple[str, ...] = ()
) -> Variable[str | None]:
    """An http or https URL that a rule judges, because guessing another one would send data astray."""
    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects="an http or https URL",
        parse=str,
        default=always(default),
        default_text=default or "",
        alternatives=alternatives,
        judged=True,
        sensitive=True,
    )


def web_address(name: str, *, group: str, meaning: str) -> Variable[str | None]:
    """An http or https URL; trailing slashes are dropped."""

    def parse(raw: str) -> str | None:
        if http_problem(raw) is not None:
            raise ValueError(raw)
        return raw.rstrip("/")

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects="an http or https URL",
        parse=parse,
        default=always(None),
        default_text="",
        sensitive=True,
    )


def origins(name: str, *, group: str, meaning: str) -> Variable[tuple[str, ...]]:
    """Browser origins, comma-separated: scheme, host and port with nothing behind them."""

    def parse(raw: str) -> tuple[str, ...]:
        found = tuple(part.strip().rstrip("/").lower() for part in raw.split(",") if part.strip())
        for origin in found:
            if http_problem(origin) is not None or any(mark in origin.partition("://")[2] for mark in "/?@*"):
                raise ValueError(raw)
        return found

    return Variable(
        name=name,
        group=group,
        meaning=meaning,
        expects="origins such as https://memory.example.com, separated by commas",
        parse=parse,
        default=always(()),
        default_text="",
    )
