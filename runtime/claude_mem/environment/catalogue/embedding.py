"""Variables of semantic search: where memories and questions become vectors, and with which model."""

from __future__ import annotations

from claude_mem.environment import kinds, numeric

EMBEDDING = "Semantic search"

BASE_URL = kinds.web_address(
    "CLAUDE_MEM_EMBEDDINGS_BASE_URL",
    group=EMBEDDING,
    meaning=(
        "A service with OpenAI's embeddings route, with or without /embeddings. With it and a model, memories are "
        "found by meaning beside their words; this needs PostgreSQL with pgvector. Unset: search is by words alone."
    ),
)
API_KEY = kinds.secret(
    "CLAUDE_MEM_EMBEDDINGS_API_KEY",
    group=EMBEDDING,
    expects="an API key",
    meaning="The key of that service; some of your own need none.",
)
MODEL = kinds.optional_text(
    "CLAUDE_MEM_EMBEDDINGS_MODEL",
    group=EMBEDDING,
    expects="a model of the service",
    meaning=(
        "Which model makes the vectors. Servers and workers must name the same: vectors of another are not compared, "
        "and workers make them anew."
    ),
)
DIMENSIONS = numeric.ceiling(
    "CLAUDE_MEM_EMBEDDINGS_DIMENSIONS",
    group=EMBEDDING,
    default=None,
    unit="numbers a vector",
    meaning="Asks the model for vectors of this length, and takes no others. Off: the model's own length.",
)
MIN_SIMILARITY = numeric.count(
    "CLAUDE_MEM_EMBEDDINGS_MIN_SIMILARITY",
    group=EMBEDDING,
    default=30,
    unit="percent",
    minimum=0,
    maximum=100,
    meaning=(
        "The cosine below which a memory does not count as close in meaning. Models differ: the default suits those "
        "that give unrelated texts about 0 to 20."
    ),
)
QUERY_TIMEOUT_MS = numeric.count(
    "CLAUDE_MEM_EMBEDDINGS_QUERY_TIMEOUT_MS",
    group=EMBEDDING,
    default=2_000,
    unit="milliseconds",
    minimum=10,
    maximum=60_000,
    meaning=(
        "How long a search waits for its question's vector, and again for the database to compare it; then words alone "
        "answer."
    ),
)
TIMEOUT_SECONDS = numeric.seconds(
    "CLAUDE_MEM_EMBEDDINGS_TIMEOUT_SECONDS",
    group=EMBEDDING,
    default=30,
    meaning="After how long a worker gives up on the vectors of a batch of memories; it tries again.",
)
BATCH = numeric.count(
    "CLAUDE_MEM_EMBEDDINGS_BATCH",
    group=EMBEDDING,
    default=64,
    unit="texts",
    maximum=512,
    meaning="Texts that share a call at most: memories, and the passages of long ones.",
)
MAX_CHARACTERS = numeric.count(
    "CLAUDE_MEM_EMBEDDINGS_MAX_CHARACTERS",
    group=EMBEDDING,
    default=8_000,
    unit="characters",
    minimum=100,
    maximum=1_000_000,
    meaning=(
        "Characters that share a vector. A longer memory has up to eight vectors, for as many passages; what lies behind "
        "them is found by its words. Models take some hundreds to 8,000 tokens."
    ),
)
