"""Every metric of the server and its workers; docs/reference/metrics.md is generated from here.

Labels take a small number of values that the program or its operator chose: routes by their templates, lanes,
outcomes, models. What clients send is never one, and nothing tells one team from another.
"""

from __future__ import annotations

from typing import Final

from claude_mem import __version__
from claude_mem.telemetry.declaring import DECLARED, Where, asked, counter, gauge, histogram

__all__ = ["DECLARED"]

_FAST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_SLOW: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320)
_LONG: Final = (0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)
_SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

BUILD: Final = gauge(
    "claude_mem_build_info", "Always 1; the release is a label.", "version", where=Where.BOTH
)
BUILD.labels(__version__).set(1)

REQUESTS: Final = counter(
    "claude_mem_http_requests_total",
    "Requests, by the template of the route, method and status.",
    "route",
    "method",
    "status",
    where=Where.SERVER,
)
REQUEST_SECONDS: Final = histogram(
    "claude_mem_http_request_seconds",
    "From a request's headers to its answer, streams left out. Requests with `wait=true` last as long as they wait.",
    "route",
    "method",
    buckets=_FAST,
    where=Where.SERVER,
)
REQUESTS_UNDER_WAY: Final = gauge(
    "claude_mem_http_requests_in_progress", "Requests under way, open streams among them.", where=Where.SERVER
)
EVENTS: Final = counter(
    "claude_mem_ingest_events_total",
    "Events that were accepted: `stored`, or `duplicate` of one that had been.",
    "outcome",
    where=Where.SERVER,
)
BATCHES: Final = histogram(
    "claude_mem_ingest_batch_events", "Events in a batch.", buckets=_SIZES, where=Where.SERVER
)
REDACTIONS: Final = counter(
    "claude_mem_ingest_redactions_total",
    "Private spans and secrets that were taken out of events before they were stored.",
    where=Where.SERVER,
)
PUBLISHED: Final = counter(
    "claude_mem_queue_published_jobs_total",
    "New jobs, by lane: `enqueued` when the transport took them, `queued_only` when workers find them in the database.",
    "lane",
    "outcome",
    where=Where.SERVER,
)
SEARCH_SECONDS: Final = histogram(
    "claude_mem_search_seconds",
    "One search of a project's memories, its audit entry left out. The mode is `search` or `context`.",
    "mode",
    buckets=_FAST,
    where=Where.SERVER,
)
GROUP_ITEMS: Final = histogram(
    "claude_mem_group_commit_items",
    "Items that shared a transaction: events (`ingest`), outcomes of jobs (`settle`), answers kept (`keep`).",
    "group",
    buckets=_SIZES,
    where=Where.BOTH,
)
GROUP_SECONDS: Final = histogram(
    "claude_mem_group_commit_seconds",
    "How long such a transaction takes, tries again included.",
    "group",
    buckets=_FAST,
    where=Where.BOTH,
)
POOL: Final = gauge(
    "claude_mem_database_pool_connections",
    "Connections to PostgreSQL: `open`, of which some are `idle`, and how many there may be (`most`).",
    "state",
    where=Where.BOTH,
)
POOL_WAIT_SECONDS: Final = histogram(
    "claude_mem_database_pool_wait_seconds",
    "How long a statement or transaction waits for a connection.",
    buckets=_FAST,
    where=Where.BOTH,
)

CALLS: Final = counter(
    "claude_mem_provider_calls_total",
    "Calls of providers, by outcome: `ok`, or the class of the error.",
    "provider",
    "model",
    "outcome",
    where=Where.WORKER,
)
CALL_SECONDS: Final = histogram(
    "claude_mem_provider_call_seconds",
    "How long a call takes until the answer is read, or has failed.",
    "provider",
    "model",
    buckets=_SLOW,
    where=Where.WORKER,
)
TOKENS: Final = counter(
    "claude_mem_provider_tokens_total",
    "Tokens as the provider counts them, those of failed calls included: `input`, `output`, and `other` that it bills. "
    "Those of vectors have the provider `embeddings`; a question's are counted at the server that was asked.",
    "provider",
    "model",
    "kind",
    where=Where.BOTH,
)
COST: Final = counter(
    "claude_mem_provider_cost_usd_total",
    "What they cost by list prices, in US dollars; nothing where the model has no price.",
    "provider",
    "model",
    where=Where.BOTH,
)
CIRCUIT_OPEN: Final = gauge(
    "claude_mem_provider_circuit_open",
    "1 while a provider is left alone because it kept failing.",
    "provider",
    "model",
    where=Where.WORKER,
)
CALLS_UNDER_WAY: Final = gauge(
    "claude_mem_worker_calls_in_progress", "Calls of providers under way.", where=Where.WORKER
)
CONCURRENCY: Final = gauge(
    "claude_mem_worker_concurrency", "Calls that may be under way at once.", where=Where.WORKER
)
JOB_WAIT_SECONDS: Final = histogram(
    "claude_mem_job_wait_seconds",
    "From a job's making to its first attempt, by lane; a session's window included.",
    "lane",
    buckets=_LONG,
    where=Where.WORKER,
)
GENERATION_SECONDS: Final = histogram(
    "claude_mem_generation_seconds",
    "From a job's making to its completion, by lane: how long an agent waits for a memory.",
    "lane",
    buckets=_LONG,
    where=Where.WORKER,
)
JOBS_SETTLED: Final = counter(
    "claude_mem_jobs_settled_total",
    "What became of attempts, by lane: `completed`, `retried`, `failed` for good, or `postponed` without a call.",
    "lane",
    "outcome",
    where=Where.WORKER,
)
JOB_FAILURES: Final = counter(
    "claude_mem_job_failures_total",
    "Attempts that failed or were postponed, by lane and class of the reason.",
    "lane",
    "classification",
    where=Where.WORKER,
)
OBSERVATIONS: Final = counter(
    "claude_mem_observations_generated_total",
    "Observations and summaries that were made, by lane.",
    "lane",
    where=Where.WORKER,
)
CLAIMS_LOST: Final = counter(
    "claude_mem_worker_claims_lost_total",
    "Calls that were given up because their jobs were cancelled, or taken by others.",
    where=Where.WORKER,
)

EMBEDDING_CALLS: Final = counter(
    "claude_mem_embedding_calls_total",
    "Calls for vectors of a `question` or of a batch of memories (`memory`), by outcome: `ok`, `abandoned`, or the class "
    "of the error. Only with semantic search, as all figures of vectors.",
    "kind",
    "outcome",
    where=Where.BOTH,
)
EMBEDDING_SECONDS: Final = histogram(
    "claude_mem_embedding_call_seconds",
    "How long such a call takes.",
    "kind",
    buckets=_FAST,
    where=Where.BOTH,
)
MEMORIES_EMBEDDED: Final = counter(
    "claude_mem_memories_embedded_total", "Memories that got a vector.", where=Where.WORKER
)
SEMANTIC_SEARCHES: Final = counter(
    "claude_mem_semantic_searches_total",
    "Searches by what meaning had to say: `fused`, or why it had nothing, as `explain` has it.",
    "outcome",
    where=Where.SERVER,
)
VECTORS_COMPARED_SECONDS: Final = histogram(
    "claude_mem_vector_search_seconds",
    "How long the database takes to find the vectors closest to a question.",
    buckets=_FAST,
    where=Where.SERVER,
)

DATABASE_UP: Final = asked(
    "claude_mem_database_up",
    "1 when the database answers in time; else 0, and what is asked of it is left out.",
)
QUEUE_DEPTH: Final = asked(
    "claude_mem_queue_depth",
    "Jobs that could be taken now, by lane; not those that wait for their time, for a budget or for a provider.",
    "lane",
)
QUEUE_AGE: Final = asked(
    "claude_mem_queue_oldest_age_seconds",
    "For how long the oldest of them has been due; 0 where there is none.",
    "lane",
)
JOBS: Final = asked(
    "claude_mem_jobs",
    "Jobs by lane and state: `due`, `delayed`, `processing`, `failed`. Of those that wait at most 100000 are counted, "
    "of the others 10000.",
    "lane",
    "state",
)
WORKERS: Final = asked(
    "claude_mem_workers", "Workers that reported lately; servers that generate are not among them."
)
