"""The side that works jobs off: claims them, keeps its leases alive, and hands back what it cannot finish."""

from __future__ import annotations
