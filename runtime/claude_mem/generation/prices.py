"""What models cost: `prices.json`, and a file of one's own over it.

Prices are list prices, in US dollars for a million tokens. Caching, batches and long prompts change what a provider
bills, so a cost is an estimate. A model without a price has no cost, which is not the same as costing nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where in the data directory prices of one's own are looked for.
PRICES_FILE: Final = "prices.json"

_FILE = Path(__file__).parent / PRICES_FILE

#: Behind the beginning of a name: its end, or a part that makes it no other version, as a lone `-5` would.
_BOUNDARY = re.compile(r"$|[@:/]|-(?!\d{1,2}(?:\D|$))")

#: What openrouter appends to the name of a model that it serves for nothing.
_FREE = ":free"


class PricesError(ValueError):
    """Raised when a file of prices cannot be read or is not of the form of `prices.json`."""


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens."""

    input: Decimal
    output: Decimal

    def micro_usd(self, *, tokens: int, input_tokens: int, output_tokens: int) -> int:
        """What a call, or the sum of many, costs in millionths of a US dollar.

        Parameters:
            tokens: of the call in all. Those that are neither input nor output, as in rows that do not tell the
                two apart, cost as much as input, which most tokens are.
        """
        return round(self.exact(tokens=tokens, input_tokens=input_tokens, output_tokens=output_tokens))

    def exact(self, *, tokens: int, input_tokens: int, output_tokens: int) -> Decimal:
        """As `micro_usd`, not rounded: a question's vector costs less than the half of a millionth, and many add up."""
        others = max(tokens - input_tokens - output_tokens, 0)
        return self.input * (input_tokens + others) + self.output * output_tokens


class PriceList:
    """Prices by the beginnings of models' names; the longest beginning that fits decides.

    Parameters:
        prices: by name. A name fits a model that goes on with a part of its own (`claude-sonnet-4` fits
            `claude-sonnet-4-20250514`), but no other version: neither `gpt-50` nor `gpt-5.3` costs what `gpt-5`
            does. Dots count as dashes, and case does not count.
    """

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices = {_plain(name): price for name, price in prices.items()}

    @classmethod
    def load(cls, own: Path | None = None) -> PriceList:
        """The prices that come with the program, and over them those of a file of the same form.

        Parameters:
            own: a file that need not exist.

        Raises: PricesError.
        """
        prices = dict(_shipped())
        if own is not None and own.exists():
            prices |= _read(own)
        return cls(prices)

    def price(self, model: str) -> Price | None:
        """The price of a model, with or without its vendor in front; None when it is not known."""
        name = _plain(model)
        if name.endswith(_FREE):
            return Price(Decimal(0), Decimal(0))
        return self._longest(name) or self._longest(name.rpartition("/")[2])

    def _longest(self, name: str) -> Price | None:
        for end in range(len(name), 0, -1):
            price = self._prices.get(name[:end])
            if price is not None and _BOUNDARY.match(name, end):
                return price
        return None


def _plain(name: str) -> str:
    return name.strip().lower().replace(".", "-")


@cache
def _shipped() -> Mapping[str, Price]:
    return _read(_FILE)


def _read(path: Path) -> dict[str, Price]:
    try:
        document = json.loads(path.read_text("utf-8"), parse_float=Decimal, parse_int=Decimal)
        return {_plain(name): _price(entry) for name, entry in document["models"].items()}
    except (OSError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError) as error:
        raise PricesError(
            f"{path} is no file of prices: {error}. It needs the form "
            '{"models": {"name": {"input": 3, "output": 15}}}, in US dollars for a million tokens.'
        ) from error


def _price(entry: Any) -> Price:
    price = Price(Decimal(entry["input"]), Decimal(entry["output"]))
    if not (price.input.is_finite() and price.output.is_finite() and min(price.input, price.output) >= 0):
        raise ValueError("a price must be a number of at least 0")
    return price
