"""What a process tells of itself: metrics, traces, and the fields that its log lines share.

Nothing here knows of teams, projects or memories, and none of it may hold a word of them.
"""

from __future__ import annotations
