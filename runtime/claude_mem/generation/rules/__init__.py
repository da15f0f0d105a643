"""Distils observations and summaries from events by rule, without a model.

Same events, same result: nothing is guessed, sampled or asked of anybody. Trivial steps of known shape give
nothing; an event of unknown shape gives a plain observation that carries its text.
"""

from __future__ import annotations

from claude_mem.generation.rules.distil import USER_PROMPT, asked_for, distil, is_trivial, words_of
from claude_mem.generation.rules.summary import summarise

__all__ = ["USER_PROMPT", "asked_for", "distil", "is_trivial", "summarise", "words_of"]
