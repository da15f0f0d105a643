"""Semantic search for tests: a PostgreSQL with pgvector, an embeddings endpoint, and both sides of the service."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from claude_mem.embeddings.openai import OpenAIEmbedder
from claude_mem.generation.prices import PriceList
from claude_mem.retrieval.passages import PASSAGES
from claude_mem.services.budgets import BudgetService
from claude_mem.services.memory_vectors import MemoryVectors
from claude_mem.services.question_vectors import QuestionVectors
from claude_mem.services.recall import RecallService
from claude_mem.services.semantic import SemanticSearch
from claude_mem.services.vector_support import VectorSupport
from claude_mem.storage.database import Database
from claude_mem.storage.vectors import ClaimTerms
from tests.support.databases import Storage, migrate_database, postgres_settings
from tests.support.embeddings import FakeEmbeddings
from tests.support.postgres import PostgresServer

MODEL = "rule-of-words"

#: Characters that share a vector.
PASSAGE = 8000

#: Seconds that the endpoint and the database have where no test is about that, on a busy machine.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Semantics:
    """Both sides over one database, asked by hand.

    Attributes:
        recall: searches.
        memories: makes vectors, a batch a step.
    """

    database: Database
    endpoint: FakeEmbeddings
    embedder: OpenAIEmbedder
    budgets: BudgetService
    questions: QuestionVectors
    semantic: SemanticSearch
    recall: RecallService
    memories: MemoryVectors

    async def embed_all(self) -> None:
        """Give every memory its vector that can have one."""
        while await self.memories.step() == 0:
            pass


def semantics(
    database: Database,
    endpoint: FakeEmbeddings,
    *,
    model: str = MODEL,
    dimensions: int | None = None,
    batch: int = 64,
    timeout_s: float = PATIENCE_S,
    compare_s: float = PATIENCE_S,
    daily_tokens: int | None = None,
) -> Semantics:
    """Put it together as a process does."""
    embedder = OpenAIEmbedder(base_url=endpoint.url, api_key=None, model=model, dimensions=dimensions)
    budgets = BudgetService(database, prices=PriceList.load(), default_daily_tokens=daily_tokens)
    questions = QuestionVectors(database, embedder, budgets, timeout_s=timeout_s)
    semantic = SemanticSearch(
        database,
        VectorSupport(database, passage=PASSAGE),
        questions,
        model=model,
        min_similarity=0.3,
        timeout_s=compare_s,
    )
    terms = ClaimTerms(model=model, dimensions=dimensions, limit=batch, characters=PASSAGE * PASSAGES)
    memories = MemoryVectors(
        database,
        embedder,
        VectorSupport(database, passage=PASSAGE),
        budgets,
        terms=terms,
        passage=PASSAGE,
        timeout_s=timeout_s,
    )
    recall = RecallService(database, None, semantic)
    return Semantics(database, endpoint, embedder, budgets, questions, semantic, recall, memories)


@pytest.fixture(scope="session")
def vector_postgres() -> Iterator[PostgresServer]:
    """One real PostgreSQL with pgvector for the whole run."""
    with PostgresServer(vectors=True) as server:
        yield server


@pytest.fixture(scope="session")
def vector_template(vector_postgres: PostgresServer) -> str:
    """The name of a database with a current schema, the extension, and no rows."""
    url = vector_postgres.create_database()
    vector_postgres.query(url, "CREATE EXTENSION vector")
    migrate_database(postgres_settings(url))
    return url.rpartition("/")[2]


@pytest.fixture
async def vector_storage(vector_postgres: PostgresServer, vector_template: str) -> AsyncIterator[Storage]:
    """A migrated database of the test's own, with the extension."""
    url = vector_postgres.create_database(template=vector_template)
    storage = Storage("postgres", postgres_settings(url))
    yield storage
    await storage.close()
    vector_postgres.drop_database(url)


@pytest.fixture
async def vector_database(vector_storage: Storage) -> Database:
    """That database, opened."""
    return await vector_storage.open()


Assemble = Callable[..., Semantics]


@pytest.fixture
async def assemble() -> AsyncIterator[Assemble]:
    """Puts both sides together as `semantics` does; connections end with the test."""
    made: list[Semantics] = []

    def put_together(*arguments: Any, **changes: Any) -> Semantics:
        made.append(semantics(*arguments, **changes))
        return made[-1]

    yield put_together
    for one in made:
        await one.embedder.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[FakeEmbeddings]:
    """An embeddings endpoint of the test's own."""
    async with FakeEmbeddings() as found:
        yield found
