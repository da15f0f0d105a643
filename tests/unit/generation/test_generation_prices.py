"""Which price a model has, what tokens cost, and what a file of one's own changes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from claude_mem.environment.providers import PROVIDERS
from claude_mem.generation.prices import Price, PriceList, PricesError

TABLE = PriceList(
    {
        "gpt-5": Price(Decimal(1), Decimal(2)),
        "gpt-5-mini": Price(Decimal(3), Decimal(4)),
        "claude-3.5-sonnet": Price(Decimal(5), Decimal(6)),
    }
)


@pytest.mark.parametrize(
    ("model", "dollars_in"),
    [
        ("gpt-5", 1),
        ("GPT-5-2025-08-07", 1),
        ("gpt-5-mini", 3),
        ("gpt-5-mini-2025-08-07", 3),
        ("openai/gpt-5", 1),
        ("openai/gpt-5:nitro", 1),
        ("claude-3-5-sonnet@20241022", 5),
        ("anthropic/claude-3.5-sonnet", 5),
        ("someone/unheard-of:free", 0),
        ("gpt-50", None),
        ("gpt-5.2", None),
        ("gpt-5-1", None),
        ("my-gpt-5", None),
        ("", None),
    ],
)
def test_the_longest_name_that_fits_decides(model: str, dollars_in: int | None) -> None:
    price = TABLE.price(model)
    assert (price and price.input) == (None if dollars_in is None else Decimal(dollars_in))


@pytest.mark.parametrize("provider", PROVIDERS.values(), ids=lambda provider: provider.name)
def test_every_default_model_has_a_price(provider: object) -> None:
    price = PriceList.load().price(provider.default_model)  # type: ignore[attr-defined] # any provider's
    assert price is not None
    assert 0 < price.input < price.output


@pytest.mark.parametrize(
    "model", ["text-embedding-3-small", "openai/text-embedding-3-large", "gemini-embedding-001"]
)
def test_models_of_vectors_have_a_price_and_no_output(model: str) -> None:
    price = PriceList.load().price(model)
    assert price is not None
    assert price.output == 0 < price.input


def test_tokens_cost_by_what_they_are() -> None:
    price = Price(Decimal("0.25"), Decimal("1.25"))
    assert price.micro_usd(tokens=1_100, input_tokens=1_000, output_tokens=100) == 375
    assert price.micro_usd(tokens=1_200, input_tokens=1_000, output_tokens=100) == 400  # the rest as input
    assert price.micro_usd(tokens=1_000, input_tokens=0, output_tokens=0) == 250


def test_a_file_of_ones_own_comes_before_what_is_shipped(tmp_path: Path) -> None:
    own = tmp_path / "prices.json"
    shipped = PriceList.load(own)
    own.write_text(
        '{"models": {"claude-sonnet-5": {"input": 0.5, "output": 1}, "house": {"input": 0, "output": 0}}}'
    )
    changed = PriceList.load(own)
    assert changed.price("claude-sonnet-5-20260101") == Price(Decimal("0.5"), Decimal(1))
    assert changed.price("house") == Price(Decimal(0), Decimal(0))
    assert changed.price("gemini-flash-latest") == shipped.price("gemini-flash-latest")
    assert shipped.price("house") is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"models": []}',
        '{"models": {"m": 3}}',
        '{"models": {"m": {"input": 1}}}',
        '{"models": {"m": {"input": -1, "output": 1}}}',
        '{"models": {"m": {"input": "much", "output": 1}}}',
        '{"models": {"m": {"input": NaN, "output": 1}}}',
    ],
)
def test_a_file_that_is_wrong_is_refused_by_name(tmp_path: Path, text: str) -> None:
    own = tmp_path / "prices.json"
    own.write_text(text)
    with pytest.raises(PricesError, match=r"prices\.json is no file of prices"):
        PriceList.load(own)
