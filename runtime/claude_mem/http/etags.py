"""Versions of memories: ETag, If-Match and If-None-Match, as RFC 9110 section 8.8.3 and 13.1 have them.

A version is what is shown of a memory, hashed, so that it is the same on every server and survives a restart.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from aiohttp.helpers import ETAG_ANY

from claude_mem.http import wire
from claude_mem.http.openapi.operation import Parameter
from claude_mem.model.documents import dumps
from claude_mem.model.errors import PreconditionFailed

if TYPE_CHECKING:
    from aiohttp import web

    from claude_mem.model.records import Observation
    from claude_mem.services.memories import Check

IF_MATCH = Parameter("If-Match", "Only if the memory still has one of these versions.", place="header")
IF_NONE_MATCH = Parameter("If-None-Match", "Only if the memory has none of these versions.", place="header")


def version(memory: Observation) -> str:
    """A memory's version, without its quotation marks."""
    return hashlib.blake2b(dumps(wire.observation(memory)), digest_size=16).hexdigest()


def etag(memory: Observation) -> dict[str, str]:
    """The header that names a memory's version."""
    return {"ETag": f'"{version(memory)}"'}


def known(request: web.Request, memory: Observation) -> bool:
    """Whether the client has this version already."""
    given = request.if_none_match
    return given is not None and any(tag.value in {ETAG_ANY, version(memory)} for tag in given)


def check(request: web.Request) -> Check | None:
    """What refuses to change a memory of another version than the client names; None where it names none."""
    if "If-Match" not in request.headers:
        return None
    given = {tag.value for tag in request.if_match or () if not tag.is_weak}

    def refuse(memory: Observation) -> None:
        if ETAG_ANY not in given and version(memory) not in given:
            raise PreconditionFailed("the memory was changed since; read it again, then change it")

    return refuse
