"""What the application object carries, under typed names."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from claude_mem.model.records import Principal
    from claude_mem.services.assembly import Services
    from claude_mem.services.context import RequestContext
    from claude_mem.services.limits import RateWindow
    from claude_mem.settings import ServerSettings


@dataclass(frozen=True, slots=True)
class GenerationState:
    """What the server says about generation in its own process.

    Parameters:
        status: `disabled`, `active` or `errored`.
    """

    status: Literal["disabled", "active", "errored"]
    reason: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What surrounds the services in this process.

    Parameters:
        local: who asks in local development without a key; None where a key is always asked for.
        schema_version: the schema that was found or made at start.
        started_s: when the process began to serve, on the monotonic clock.
        shut_down: called by the loopback administration routes.
    """

    settings: ServerSettings
    generation: GenerationState
    local: Principal | None
    schema_version: int | None
    started_s: float
    shut_down: Callable[[], None]


SERVICES: web.AppKey[Services] = web.AppKey("services")
RUNTIME = web.AppKey("runtime", Runtime)

#: A request's id; set under `/v1` only.
REQUEST_ID = web.RequestKey("request_id", str)

#: Where the caller's key stands in its minute; set where requests are limited.
RATE: web.RequestKey[RateWindow] = web.RequestKey("rate")

#: Who was let in, and by which scope, so that a request counts once however many parts of it ask.
ADMITTED: web.RequestKey[tuple[str, RequestContext]] = web.RequestKey("admitted")

#: The origin of the page that asks; set where it may.
ORIGIN = web.RequestKey("origin", str)

#: Runtime label that existing clients compare.
RUNTIME_LABEL = "server-beta"
