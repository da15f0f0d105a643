"""Admission: what a ClaudeMemServer may ask for, and the webhook that answers the API server.

`judge` decides on a request, `guard` asks the same of a resource before it is applied. `server` listens;
`pki`, `certificates` and `rotation` are its TLS.
"""

from __future__ import annotations
