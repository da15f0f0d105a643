"""The reconcile: observe, apply stage by stage, prune, and tell in the status what was seen. Knows nothing of kopf."""

from __future__ import annotations
