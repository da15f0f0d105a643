"""Money as it is kept: whole millionths of a US dollar, which add up without rounding."""

from __future__ import annotations

from typing import Final, overload

#: Millionths in a US dollar.
MICRO: Final = 1_000_000


@overload
def usd(micro: int) -> float: ...
@overload
def usd(micro: int | None) -> float | None: ...
def usd(micro: int | None) -> float | None:
    """US dollars of millionths; None stays None."""
    return None if micro is None else micro / MICRO


def micro_usd(dollars: float) -> int:
    """Millionths of US dollars, to the nearest."""
    return round(dollars * MICRO)
