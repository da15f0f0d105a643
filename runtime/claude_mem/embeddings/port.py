"""What semantic search needs of a model: vectors for texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What the service is called where a provider of generation has its name.
NAME: Final = "embeddings"


@dataclass(frozen=True, slots=True)
class Embedded:
    """An answer.

    Parameters:
        vectors: one for each text, in their order; all of one length, of finite numbers, and none of zeros alone.
        tokens: as the service counts them; 0 where it does not say.
    """

    vectors: list[list[float]]
    tokens: int


class Embedder(Protocol):
    """Makes vectors.

    Attributes:
        model: whose vectors they are; those of two models do not compare.
        dimensions: the length that is asked for; None is the model's own.
    """

    model: str
    dimensions: int | None

    async def embed(self, texts: Sequence[str], *, timeout_s: float) -> Embedded:
        """Make one call.

        Parameters:
            texts: at least one, none of them empty.
            timeout_s: seconds after which the call is given up.

        Raises:
            GenerationError: no vectors came; its class says whether to try again.
        """
        ...

    async def close(self) -> None:
        """Close its connections."""
        ...
