"""Variables of generation: the provider, its key and address, its cost, and how jobs are held and retried."""

from __future__ import annotations

from claude_mem.environment import kinds, numeric
from claude_mem.environment.naming import read_fallbacks
from claude_mem.environment.variables import Variable, always

GENERATION = "Generation"
JOBS = "Jobs"

GENERATION_DISABLED = kinds.switch(
    "CLAUDE_MEM_GENERATION_DISABLED",
    group=GENERATION,
    meaning=(
        "1 or true makes the server HTTP only; required in containers, where workers generate. A worker "
        "ignores it. Without it a server with a provider generates in its own process."
    ),
)
PROVIDER = kinds.optional_text(
    "CLAUDE_MEM_SERVER_PROVIDER",
    group=GENERATION,
    expects="claude (also written anthropic), gemini, openrouter, or outside containers offline; in any case",
    default_text="offline in local development, else none",
    judged=True,
    meaning=(
        "Who turns events into observations. Workers must have one; offline works by rule, without a model."
    ),
)
MODEL = kinds.optional_text(
    "CLAUDE_MEM_SERVER_MODEL",
    group=GENERATION,
    expects="a model of the provider",
    default_text="by provider, see below",
    meaning="The model that is asked.",
)
PROVIDER_FALLBACKS = Variable(
    name="CLAUDE_MEM_SERVER_PROVIDER_FALLBACKS",
    group=GENERATION,
    expects="provider or provider:model, separated by commas, such as gemini,claude:claude-haiku-4-5",
    parse=read_fallbacks,
    default=always(()),
    default_text="",
    judged=True,
    meaning=(
        "Asked in this order when the provider fails, is overloaded, or refuses its key. Each needs its key, "
        "and is sent to its base URL; without a model it is asked for its default. One provider may stand "
        "here with several models; a repetition is left out. Means nothing to offline."
    ),
)
ANTHROPIC_KEY = kinds.secret(
    "ANTHROPIC_API_KEY",
    group=GENERATION,
    alternatives=("CLAUDE_MEM_ANTHROPIC_API_KEY",),
    expects="an API key",
    meaning="The key of claude.",
)
GEMINI_KEY = kinds.secret(
    "GEMINI_API_KEY",
    group=GENERATION,
    alternatives=("CLAUDE_MEM_GEMINI_API_KEY",),
    expects="an API key",
    meaning="The key of gemini.",
)
OPENROUTER_KEY = kinds.secret(
    "OPENROUTER_API_KEY",
    group=GENERATION,
    alternatives=("CLAUDE_MEM_OPENROUTER_API_KEY",),
    expects="an API key",
    meaning="The key of openrouter, or of the compatible service at its base URL.",
)
ANTHROPIC_BASE_URL = kinds.address(
    "CLAUDE_MEM_ANTHROPIC_BASE_URL",
    group=GENERATION,
    default=None,
    meaning="Another address for claude, such as a gateway. Unset: Anthropic's own.",
)
GEMINI_BASE_URL = kinds.address(
    "CLAUDE_MEM_GEMINI_BASE_URL",
    group=GENERATION,
    default=None,
    meaning="Another address for gemini. Unset: Google's own.",
)
OPENROUTER_BASE_URL = kinds.address(
    "CLAUDE_MEM_OPENROUTER_BASE_URL",
    group=GENERATION,
    alternatives=("OPENROUTER_BASE_URL",),
    default="https://openrouter.ai/api/v1",
    meaning=(
        "The Chat Completions service: OpenRouter or any compatible one, with or without /chat/completions."
    ),
)
PROVIDER_TIMEOUT_SECONDS = numeric.seconds(
    "CLAUDE_MEM_PROVIDER_TIMEOUT_SECONDS",
    group=GENERATION,
    default=120,
    meaning="After how long a provider's answer is given up; a long answer of a slow model still fits.",
)
MAX_PROMPT_TOKENS = numeric.count(
    "CLAUDE_MEM_MAX_PROMPT_TOKENS",
    group=GENERATION,
    default=24_000,
    unit="estimated tokens",
    minimum=1_000,
    maximum=1_000_000,
    meaning=(
        "The size of a prompt, beyond which the oldest events are shortened, then left out. The default fits "
        "any current model and bounds what one call costs."
    ),
)
CONCURRENCY = numeric.count(
    "CLAUDE_MEM_GENERATION_CONCURRENCY",
    group=GENERATION,
    default=32,
    unit="jobs",
    maximum=1024,
    meaning="Jobs in flight in one process. Provider calls are waiting, not work, so one process holds many.",
)
MAX_ATTEMPTS = numeric.count(
    "CLAUDE_MEM_GENERATION_MAX_ATTEMPTS",
    group=GENERATION,
    default=3,
    unit="attempts",
    maximum=100,
    meaning="How often a job is tried before it counts as failed.",
)
DAILY_TOKEN_BUDGET = numeric.ceiling(
    "CLAUDE_MEM_DAILY_TOKEN_BUDGET",
    group=GENERATION,
    default=20_000_000,
    unit="tokens a UTC day and team",
    meaning="When it is spent, the team's jobs wait for the next day. On by default, against a runaway bill.",
)
EVENTS_PER_CALL = numeric.count(
    "CLAUDE_MEM_EVENTS_PER_CALL",
    group=GENERATION,
    default=24,
    unit="events",
    maximum=100,
    meaning="Events of one session that share a provider call at most; 1 gives each a call of its own.",
)
SESSION_WINDOW_MS = numeric.count(
    "CLAUDE_MEM_SESSION_WINDOW_MS",
    group=GENERATION,
    default=5_000,
    unit="milliseconds",
    minimum=0,
    maximum=600_000,
    meaning=(
        "How long the first event of a session waits for others to share its call. The end of the session "
        "and wait=true end the waiting; 0 is no waiting."
    ),
)
SUMMARY_REFRESH_MS = numeric.count(
    "CLAUDE_MEM_SUMMARY_REFRESH_MS",
    group=GENERATION,
    default=60_000,
    unit="milliseconds",
    minimum=0,
    maximum=86_400_000,
    meaning=(
        "A session that ends again after more has happened is summed up anew, once it was quiet for so long; "
        "each further end starts the time again."
    ),
)
KEEP_TRIVIAL_EVENTS = kinds.switch(
    "CLAUDE_MEM_KEEP_TRIVIAL_EVENTS",
    group=GENERATION,
    meaning=(
        "1 or true asks the provider about every event. Without it, steps of known shape that hold nothing, "
        "such as an empty search, are done without a call."
    ),
)
MODE = kinds.word(
    "CLAUDE_MEM_MODE",
    group=GENERATION,
    default="code",
    pattern=r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}",
    expects="the id of a mode: letters, digits, dashes and underscores",
    meaning="Which mode's types, concepts and prompts are used.",
)
LANGUAGE = kinds.word(
    "CLAUDE_MEM_LANGUAGE",
    group=GENERATION,
    default="en",
    pattern=r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*",
    expects="a language tag such as en, de or pt-BR",
    meaning="The language in which observations are written.",
)

LEASE_SECONDS = numeric.seconds(
    "CLAUDE_MEM_JOB_LEASE_SECONDS",
    group=JOBS,
    default=30,
    meaning="How long a job stays with a worker that no longer reports; then another takes it.",
)
HEARTBEAT_SECONDS = numeric.optional_seconds(
    "CLAUDE_MEM_JOB_HEARTBEAT_SECONDS",
    group=JOBS,
    default_text="a third of the lease: 10",
    meaning=(
        "How often a worker renews its leases; shorter than the lease, so that two renewals may be missed."
    ),
)
RETRY_BASE_SECONDS = numeric.seconds(
    "CLAUDE_MEM_JOB_RETRY_BASE_SECONDS",
    group=JOBS,
    default=5,
    meaning=(
        "The pause before the first retry; each further one is twice as long. A provider's Retry-After wins."
    ),
)
