"""The Kubernetes operator for ClaudeMemServer resources."""

from __future__ import annotations
