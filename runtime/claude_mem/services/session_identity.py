"""How long the names of a session may be, whichever way it comes in; which session they name is `sessions`' to find."""

from __future__ import annotations

from typing import Final, Self

from pydantic import BaseModel, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

#: Bytes in UTF-8 of a session's platform and one of its ids at most: an index entry of PostgreSQL, which ends at 2,704, has
#: both, the ids of team and project, and a time.
MAX_IDENTITY_BYTES: Final = 2048


class SessionIdentity(BaseModel):
    """What a session is known by; `platform_source` and an id of the session stand in one entry of an index."""

    @model_validator(mode="after")
    def _fits_an_entry(self) -> Self:
        platform: str | None = getattr(self, "platform_source", None)
        for name in ("external_session_id", "content_session_id"):
            found: str | None = getattr(self, name, None)
            if platform and found and len((platform + found).encode()) > MAX_IDENTITY_BYTES:
                both = f"{to_camel(name)} and platformSource"
                raise PydanticCustomError(
                    "custom", f"{both} are longer than {MAX_IDENTITY_BYTES} bytes together"
                )
        return self
