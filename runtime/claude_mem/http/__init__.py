"""The HTTP surface: claude-mem 13's wire, and what is better, on aiohttp.

Routes read a request, call a service and write its answer; what an answer means is the services' business.
"""

from __future__ import annotations
