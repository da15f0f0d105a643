"""Semantic search as a process has it: the model that makes vectors, and the work beside everything else."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from claude_mem.generation.prices import PRICES_FILE, PriceList
from claude_mem.retrieval.passages import PASSAGES
from claude_mem.services.budgets import BudgetService
from claude_mem.services.memory_vectors import MemoryVectors
from claude_mem.services.vector_support import VectorSupport
from claude_mem.storage.vectors import ClaimTerms

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from claude_mem.embeddings.port import Embedder
    from claude_mem.settings import EmbeddingSettings, ServerSettings
    from claude_mem.storage.database import Database


def make_embedder(settings: EmbeddingSettings) -> Embedder | None:
    """The model that the settings name; nothing is connected yet. None without semantic search."""
    if settings.base_url is None or settings.model is None:
        return None
    from claude_mem.embeddings.openai import OpenAIEmbedder  # noqa: PLC0415 - its SDK takes seconds to import

    return OpenAIEmbedder(
        base_url=settings.base_url,
        api_key=settings.api_key,
        model=settings.model,
        dimensions=settings.dimensions,
    )


@asynccontextmanager
async def embedding(
    settings: ServerSettings, database: Database, embedder: Embedder | None
) -> AsyncIterator[None]:
    """Give memories their vectors for as long as the block lasts."""
    if embedder is None:
        yield
        return
    memories = MemoryVectors(
        database,
        embedder,
        VectorSupport(database, passage=settings.embeddings.max_characters),
        BudgetService(
            database,
            prices=PriceList.load(settings.paths.data_dir / PRICES_FILE),
            default_daily_tokens=settings.generation.daily_token_budget,
        ),
        terms=ClaimTerms(
            model=embedder.model,
            dimensions=embedder.dimensions,
            limit=settings.embeddings.batch,
            characters=settings.embeddings.max_characters * PASSAGES,
        ),
        passage=settings.embeddings.max_characters,
        timeout_s=settings.embeddings.timeout_seconds,
    )
    task = asyncio.create_task(memories.run(), name="embedding")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def embedding_here(settings: ServerSettings, database: Database) -> AsyncIterator[None]:
    """As `embedding`, with a model of its own, where the settings name one."""
    embedder = make_embedder(settings.embeddings)
    try:
        async with embedding(settings, database, embedder):
            yield
    finally:
        if embedder is not None:
            await embedder.close()
