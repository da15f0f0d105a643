"""What calls of the API server raise.

    KubeError
    ├── NotFound                  the object, or its kind, is not there
    ├── Forbidden                 a role is missing, or admission refused
    │   └── NamespaceTerminating  nothing can be created in it any more
    ├── Conflict                  somebody else wrote first
    │   └── AlreadyExists         an object of that name is there
    ├── Invalid                   the object is refused as it is: trying again is no use
    ├── NotLeading                this replica may not write now
    └── Unavailable               no answer, or a 5xx: trying again later may help
        └── TooManyRequests       the server says when

Messages hold the verb, the object's name and the server's own words; never a body, which may be a Secret.
"""

from __future__ import annotations


class KubeError(Exception):
    """Raised when the API server refuses a call or cannot be asked."""


class NotFound(KubeError):
    """Raised when the object or its kind does not exist."""


class Forbidden(KubeError):
    """Raised when the operator's role does not allow the call, or admission refuses it."""


class NamespaceTerminating(Forbidden):
    """Raised when an object is to be created in a namespace that is being deleted."""


class Conflict(KubeError):
    """Raised when the object changed since it was read."""


class AlreadyExists(Conflict):
    """Raised when an object is to be created whose name is taken."""


class Invalid(KubeError):
    """Raised when the object breaks its schema, a rule, or changes what cannot be changed."""


class NotLeading(KubeError):
    """Raised when a replica that does not hold the lease is about to write."""


class Unavailable(KubeError):
    """Raised when the API server does not answer, or answers with a failure of its own."""


class TooManyRequests(Unavailable):
    """Raised when the API server asks to slow down.

    `retry_after` is how long it asked to wait, in seconds.
    """

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after
