"""All services of one process, over one database and one queue."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from claude_mem.generation.mode import ModeLibrary
from claude_mem.generation.prices import PRICES_FILE, PriceList
from claude_mem.model.errors import ClaudeMemError
from claude_mem.services.authentication import Authenticator
from claude_mem.services.briefing import BriefingService
from claude_mem.services.budget_changes import BudgetChanges
from claude_mem.services.budgets import BudgetService
from claude_mem.services.idempotency import IdempotentRequests
from claude_mem.services.ingest import IngestService
from claude_mem.services.jobs import JobService
from claude_mem.services.keys import KeyService
from claude_mem.services.limits import Admission, FailedAuthentications, Limits
from claude_mem.services.memories import MemoryService
from claude_mem.services.monitoring import Monitoring
from claude_mem.services.origins import OriginService
from claude_mem.services.publishing import JobTerms
from claude_mem.services.question_vectors import QuestionVectors
from claude_mem.services.recall import RecallService
from claude_mem.services.retention import RetentionService
from claude_mem.services.search_index import SearchIndex
from claude_mem.services.semantic import SemanticSearch
from claude_mem.services.sessions import SessionService
from claude_mem.services.signals import JobWaiter
from claude_mem.services.tenancy import TenancyService
from claude_mem.services.timeline import TimelineService
from claude_mem.services.transfer_spool import SpoolRoom
from claude_mem.services.usage import UsageService
from claude_mem.services.vector_support import VectorSupport
from claude_mem.storage.database import StorageError

if TYPE_CHECKING:
    from claude_mem.embeddings.port import Embedder
    from claude_mem.queue.port import Queue
    from claude_mem.settings import EmbeddingSettings, ServerSettings
    from claude_mem.storage.database import Database


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Services:
    """What a surface, HTTP or another, may ask for."""

    database: Database
    queue: Queue
    authenticator: Authenticator
    admission: Admission
    failed_authentications: FailedAuthentications
    ingest: IngestService
    sessions: SessionService
    memories: MemoryService
    recall: RecallService
    semantic: SemanticSearch | None
    briefing: BriefingService
    timeline: TimelineService
    origins: OriginService
    search_index: SearchIndex
    jobs: JobService
    keys: KeyService
    tenancy: TenancyService
    usage: UsageService
    budgets: BudgetService
    budget_changes: BudgetChanges
    waiter: JobWaiter
    idempotent: IdempotentRequests
    monitoring: Monitoring
    retention: RetentionService
    import_room: SpoolRoom

    @classmethod
    def over(
        cls, database: Database, queue: Queue, *, settings: ServerSettings, embedder: Embedder | None = None
    ) -> Self:
        """Make every service; nothing is opened here.

        Parameters:
            embedder: makes vectors of questions; None where search is by words alone.

        Raises: PricesError for a file of prices that cannot be used.
        """
        limits = Limits(
            rate_per_minute=settings.limits.requests_per_minute,
            monthly_requests=settings.limits.monthly_requests,
            monthly_tokens=settings.limits.monthly_tokens,
            metering=settings.limits.metering,
        )
        prices = PriceList.load(settings.paths.data_dir / PRICES_FILE)
        budgets = BudgetService(
            database, prices=prices, default_daily_tokens=settings.generation.daily_token_budget
        )
        search_index = SearchIndex(database)
        semantic = None if embedder is None else _semantic(database, embedder, budgets, settings.embeddings)
        recall = RecallService(database, search_index, semantic)
        terms = JobTerms(
            max_attempts=settings.generation.max_attempts,
            session_window_us=settings.generation.session_window_ms * 1000,
            summary_refresh_us=settings.generation.summary_refresh_ms * 1000,
        )
        return cls(
            database=database,
            queue=queue,
            authenticator=Authenticator(database),
            admission=Admission(database, limits),
            failed_authentications=FailedAuthentications(settings.auth.failures_per_minute),
            ingest=IngestService(database, queue, terms=terms),
            sessions=SessionService(database, queue, terms=terms),
            memories=MemoryService(database),
            recall=recall,
            semantic=semantic,
            briefing=BriefingService(database, recall),
            timeline=TimelineService(database),
            origins=OriginService(database, prices=prices),
            search_index=search_index,
            jobs=JobService(database, queue),
            keys=KeyService(database),
            tenancy=TenancyService(
                database,
                ModeLibrary.of(data_dir=settings.paths.data_dir, modes_dir=settings.paths.modes_dir),
            ),
            usage=UsageService(database, prices=prices),
            budgets=budgets,
            budget_changes=BudgetChanges(database, budgets),
            waiter=JobWaiter(database),
            idempotent=IdempotentRequests(database),
            monitoring=Monitoring(database),
            retention=RetentionService(database),
            import_room=SpoolRoom(settings.http.import_spool_bytes),
        )

    async def write_behind(self) -> None:
        """Store what may lag behind: last use of keys, metered requests; and drop what is over."""
        await self.authenticator.write_last_used()
        await self.admission.write_metered()
        await self.admission.forget_old_windows()
        if self.semantic is not None:
            await self.semantic.write_usage()
        try:
            await self.idempotent.forget_old()
            await self.database.refresh_statistics()
        except (ClaudeMemError, StorageError) as error:
            reason = type(error).__name__
            logger.info("old answers and the planner's statistics stay as they are", extra={"reason": reason})

    async def close(self) -> None:
        """Finish what was accepted, and close the queue and the database."""
        await self.ingest.close()
        await self.waiter.close()
        await self.write_behind()
        await self.queue.close()
        await self.database.close()


def _semantic(
    database: Database, embedder: Embedder, budgets: BudgetService, settings: EmbeddingSettings
) -> SemanticSearch:
    timeout_s = settings.query_timeout_ms / 1000
    questions = QuestionVectors(database, embedder, budgets, timeout_s=timeout_s)
    return SemanticSearch(
        database,
        VectorSupport(database, passage=settings.max_characters),
        questions,
        model=embedder.model,
        min_similarity=settings.min_similarity / 100,
        timeout_s=timeout_s,
    )
