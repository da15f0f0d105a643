"""Finding what was remembered: words of texts and questions, an index in segments, and a ranking of what matches.

Nothing here reads a database or a clock: services bring the bytes, and say what time it is.
"""

from __future__ import annotations
