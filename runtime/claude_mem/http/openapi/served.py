"""The document and its page as they are served: made when somebody asks, then kept."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import orjson
from aiohttp import web

from claude_mem import __version__
from claude_mem.http.openapi.document import document
from claude_mem.http.openapi.page import page

if TYPE_CHECKING:
    from collections.abc import Sequence


class Description:
    """What the server says of its routes."""

    def __init__(self, routes: Sequence[web.RouteDef]) -> None:
        self._routes = routes

    @cached_property
    def document(self) -> bytes:
        """OpenAPI 3.1 as JSON."""
        return orjson.dumps(document(self._routes, version=__version__))

    @cached_property
    def page(self) -> str:
        """The same as HTML."""
        return page(orjson.loads(self.document))


DESCRIPTION = web.AppKey("description", Description)
