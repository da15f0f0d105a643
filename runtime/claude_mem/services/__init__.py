"""What the server does, apart from how it is asked: each module is one part of the work, over the storage port.

Services know principals and tenancy, write their audit rows in the transaction they speak of, and raise the errors of
claude_mem.model.errors. They know nothing of HTTP.
"""

from __future__ import annotations
