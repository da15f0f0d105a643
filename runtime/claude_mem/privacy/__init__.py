"""What must not be remembered: spans that were marked as private, and credentials that identify themselves.

Pure functions on JSON values; what becomes of the result is the caller's business. `may_contain_private` is
the cheap question to ask of every value, `redact` the answer.
"""

from __future__ import annotations

from claude_mem.privacy.redaction import Redacted, may_contain_private, redact, redact_text

__all__ = ["Redacted", "may_contain_private", "redact", "redact_text"]
