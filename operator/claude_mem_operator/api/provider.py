"""Who turns events into observations, what that may cost, and the first team and project."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final, Literal

from pydantic import Field

from claude_mem_operator.api.base import Model
from claude_mem_operator.api.lists import Unique
from claude_mem_operator.api.references import SecretKeyRef
from claude_mem_operator.api.rules import Rule
from claude_mem_operator.api.scalars import HttpUrl, ObjectName

ProviderName = Literal["claude", "gemini", "openrouter"]

Limit = Annotated[int, Field(ge=0, le=2**53)]
PerMinute = Annotated[int, Field(ge=0, le=2**31 - 1)]

#: Unicode's categories of control and format characters, and of the ends of lines and paragraphs.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})


class ProviderEntry(Model):
    """A provider of models."""

    name: ProviderName
    """The provider; openrouter also stands for every service that speaks Chat Completions."""
    model: Annotated[str, Field(min_length=1, max_length=256, pattern=r"^[^\s,]+$")] | None = None
    """The model that is asked; the provider's default where it is not given."""
    base_url: HttpUrl | None = None
    """Another address for the provider, such as a gateway."""
    api_key_secret_ref: SecretKeyRef
    """Where the provider's API key is."""


class Provider(ProviderEntry):
    """The provider that workers ask, and those asked when it fails."""

    fallbacks: Annotated[
        tuple[ProviderEntry, ...],
        Field(max_length=2),
        Unique(("name",)),
    ] = ()
    """Asked in this order when the provider fails, is overloaded, or refuses its key; each provider once."""

    rules = (
        Rule(
            cel="!has(self.fallbacks) || self.fallbacks.all(one, one.name != self.name)",
            holds=lambda provider: all(one.name != provider.name for one in provider.fallbacks),
            message="must not name the provider itself; name another one, or remove the entry",
            field=".fallbacks",
        ),
    )


def _plain(field: str) -> Rule:
    """A name is told apart by eye: nothing in it that is not seen, and no space around it."""
    return Rule(
        cel=(
            f"!has(self.{field}) || self.{field}.matches("
            r"r'^[^\pZ\p{Cc}\p{Cf}]([^\p{Cc}\p{Cf}\p{Zl}\p{Zp}]*[^\pZ\p{Cc}\p{Cf}])?$')"
        ),
        holds=lambda one: (
            getattr(one, field).strip() == getattr(one, field)
            and not {unicodedata.category(letter) for letter in getattr(one, field)} & _UNSEEN
        ),
        message="must hold printable characters only, and no space before or behind them; remove the others",
        field=f".{field}",
    )


class Bootstrap(Model):
    """The first team, its project, and a key for it; made once, never changed or deleted afterwards."""

    team: Annotated[str, Field(min_length=1, max_length=128)] = "default"
    """The team."""
    project: Annotated[str, Field(min_length=1, max_length=128)] = "default"
    """The team's project."""
    api_key_secret_name: ObjectName | None = None
    """The Secret into which the key is written, under api-key; the resource's name with -api-key behind it
    where it is not given."""

    rules = (_plain("team"), _plain("project"))


class Auth(Model):
    """Limits on callers, and which browsers may call."""

    rate_limit_per_minute: PerMinute | None = None
    """Requests a minute and key, beyond which a key gets 429; 0 or not given: no limit."""
    failures_per_minute: PerMinute | None = None
    """Failed authentications a minute and address, beyond which the address waits; not given: 60."""
    cors_origins: Annotated[
        tuple[Annotated[str, Field(max_length=512, pattern=r"^https?://[^/?#@*,\s]+$")], ...],
        Field(max_length=64, json_schema_extra={"x-kubernetes-list-type": "atomic"}),
    ] = ()
    """Browser origins that may call, such as https://memory.example.com; pages on localhost always may."""


class Budgets(Model):
    """What a team may spend; counted in UTC."""

    daily_tokens: Limit | None = None
    """Tokens a day and team, after which its jobs wait for the next day; 0: no limit; not given: 20000000."""
    monthly_requests: Limit | None = None
    """Requests a month and team, after which it gets 402; 0 or not given: no limit."""
    monthly_tokens: Limit | None = None
    """Tokens a month and team, after which its writes get 402; 0 or not given: no limit."""


class Generation(Model):
    """How observations are written."""

    mode: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")] | None = None
    """Which mode's types, concepts and prompts are used; not given: code."""
    language: Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")] | None = (
        None
    )
    """The language of the observations, such as en, de or pt-BR; not given: en."""


class Log(Model):
    """What the server and the workers log."""

    level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    """The least severe messages that are written."""
    format: Literal["json", "text"] = "json"
    """json, one object a line, for collectors; text for people."""
