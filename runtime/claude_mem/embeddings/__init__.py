"""Texts made vectors by a model elsewhere: the port, and its adapter for OpenAI's embeddings route.

Which texts, when, and at whose cost is the services' business.
"""

from __future__ import annotations
