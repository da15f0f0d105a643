"""Versions of memories and projects: ETag, If-Match and If-None-Match, as RFC 9110 section 8.8.3 and 13.1 have them.

A version is what is shown of a thing, hashed, so that it is the same on every server and survives a restart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from aiohttp.helpers import ETAG_ANY

from claude_mem.http.openapi.operation import Parameter
from claude_mem.model.documents import dumps
from claude_mem.model.errors import PreconditionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from aiohttp import web

T = TypeVar("T")

IF_MATCH = Parameter("If-Match", "Only if it still has one of these versions.", place="header")
IF_NONE_MATCH = Parameter("If-None-Match", "Only if it has none of these versions.", place="header")


def version(shown: Mapping[str, object]) -> str:
    """The version of a thing of which this is shown, without its quotation marks."""
    return hashlib.blake2b(dumps(shown), digest_size=16).hexdigest()


def etag(shown: Mapping[str, object]) -> dict[str, str]:
    """The header that names its version."""
    return {"ETag": f'"{version(shown)}"'}


def known(request: web.Request, shown: Mapping[str, object]) -> bool:
    """Whether the client has this version already."""
    given = request.if_none_match
    return given is not None and any(tag.value in {ETAG_ANY, version(shown)} for tag in given)


def check(
    request: web.Request, show: Callable[[T], Mapping[str, object]], *, what: str
) -> Callable[[T], None] | None:
    """What refuses to change a thing of another version than the client names; None where it names none.

    Parameters:
        show: what is shown of it.
        what: what it is called.
    """
    if "If-Match" not in request.headers:
        return None
    given = {tag.value for tag in request.if_match or () if not tag.is_weak}

    def refuse(thing: T) -> None:
        if ETAG_ANY not in given and version(show(thing)) not in given:
            raise PreconditionFailed(f"the {what} was changed since; read it again, then change it")

    return refuse
