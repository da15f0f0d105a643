"""Shapes of what the server tells of itself: help texts, and the API's description."""

from __future__ import annotations

from typing import Literal

from claude_mem.http.responses.base import Json, Shape


class Content(Shape):
    """A text in the form of MCP's content."""

    type: Literal["text"]
    text: str


class Instructions(Shape):
    """Help texts."""

    content: list[Content]


class OpenApi(Shape):
    """This document."""

    openapi: str
    info: Json
    servers: Json
    security: Json
    tags: Json
    paths: Json
    components: Json
