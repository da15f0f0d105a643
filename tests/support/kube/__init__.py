"""Kubernetes for tests: a control plane without nodes in seconds, and real kind."""
