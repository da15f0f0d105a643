"""Times are written as JavaScript writes them, and read as leniently as its Date reads what people type."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.model import times
from claude_mem.model.times import (
    MAX_EPOCH_MS,
    MIN_POSTGRES_MS,
    iso8601_ms,
    iso8601_us,
    ms_from_us,
    now_us,
    parse_since,
    us_from_ms,
)


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_225_600_000, "2026-01-01T00:00:00.000Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "+010000-01-01T00:00:00.000Z"),
        (-62_167_219_200_000, "0000-01-01T00:00:00.000Z"),
        (-62_167_219_200_001, "-000001-12-31T23:59:59.999Z"),
        (MAX_EPOCH_MS, "+275760-09-13T00:00:00.000Z"),
        (-MAX_EPOCH_MS, "-271821-04-20T00:00:00.000Z"),
        (MIN_POSTGRES_MS, "-004713-11-24T00:00:00.000Z"),
    ],
)
def test_iso(ms: int, text: str) -> None:
    assert iso8601_ms(ms) == text
    assert iso8601_us(us_from_ms(ms) + 999) == text


@given(st.datetimes(timezones=st.just(UTC)))
def test_iso_agrees_with_datetime(moment: datetime) -> None:
    ms = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    written = moment.strftime("%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    assert iso8601_ms(ms) == f"{moment.year:04d}-{written}"


@given(st.integers(-MAX_EPOCH_MS, MAX_EPOCH_MS))
def test_iso_reads_back(ms: int) -> None:
    expected = us_from_ms(ms) if ms >= MIN_POSTGRES_MS else None
    assert parse_since(iso8601_ms(ms)) == expected


@pytest.mark.parametrize("ms", [MAX_EPOCH_MS + 1, -MAX_EPOCH_MS - 1, 10**20])
def test_iso_beyond_the_calendar(ms: int) -> None:
    with pytest.raises(ValueError, match="out of range"):
        iso8601_ms(ms)


def test_units() -> None:
    assert us_from_ms(1_500) == 1_500_000
    assert ms_from_us(1_999) == 1
    assert ms_from_us(-1) == -1
    before = time.time_ns()
    assert before // 1000 <= now_us() <= time.time_ns() // 1000


# Milliseconds as `Date.parse` of Node.js 20 has them, with TZ=UTC.
@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("2024", 1_704_067_200_000),
        ("2024-05", 1_714_521_600_000),
        ("2024-05-06", 1_714_953_600_000),
        ("  2024-05-06  ", 1_714_953_600_000),
        ("2024-05-06T07:08", 1_714_979_280_000),
        ("2024-05-06T07:08Z", 1_714_979_280_000),
        ("2024-05-06t07:08z", 1_714_979_280_000),
        ("2024-05-06 7:08", 1_714_979_280_000),
        ("2024-05-06T07:08:09.123456Z", 1_714_979_289_123),
        ("2024-05-06T07:08:09.1Z", 1_714_979_289_100),
        ("2024-05-06T07:08:09+02:00", 1_714_972_089_000),
        ("2024-05-06 07:08:09 +0200", 1_714_972_089_000),
        ("2024-05-06T24:00:00Z", 1_715_040_000_000),
        ("2024-05-06 10:00 AM", 1_714_989_600_000),
        ("2024-02-30", 1_709_251_200_000),
        ("2024-1-1", 1_704_067_200_000),
        ("Tue, 14 Nov 2023 22:13:20 GMT", 1_700_000_000_000),
        ("Tue, 14 Nov 2023 22:13:20 EST", 1_700_018_000_000),
        ("14 Nov 2023 22:13:20 +0100", 1_699_996_400_000),
        ("14-Nov-2023", 1_699_920_000_000),
        ("14 Nov 2023 12:00 AM", 1_699_920_000_000),
        ("November 14, 2023 10:00:00", 1_699_956_000_000),
        ("Tuesday, November 14, 2023", 1_699_920_000_000),
        ("Nov 14 2023 10:00 PM", 1_699_999_200_000),
        ("11/14/2023, 10:13:20 PM", 1_700_000_000_000),
        ("2023/11/14 10:00", 1_699_956_000_000),
        ("Tue Nov 14 2023 22:13:20 GMT+0100 (Central European Standard Time)", 1_699_996_400_000),
        ("+012024-01-01T00:00:00Z", 317_273_587_200_000),
        ("-000001-01-01T00:00:00Z", -62_198_755_200_000),
        ("+275760-09-13T00:00:00.000Z", MAX_EPOCH_MS),
        ("-004713-11-24T00:00:00Z", MIN_POSTGRES_MS),
    ],
)
def test_since(text: str, ms: int) -> None:
    assert parse_since(text) == us_from_ms(ms)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "yesterday",
        "0",
        "12",
        "1700000000",
        "1700000000000",
        "20240101",
        "2024-13-01",
        "2024-00-01",
        "2024-05-00",
        "2024-05-32",
        "2024-05-06T07",
        "2024-05-06T7:08Z",
        "2024-05-06T07:60Z",
        "2024-05-06T07:08:60Z",
        "2024-05-06T24:00:01Z",
        "2024-05-06T07:08:09.Z",
        "2024-05-06T07:08:09 Z",
        "2024-05-06T07:08+24:00",
        "Foo 14 2023",
        "Nov 14 2023 13:00 PM",
        "-000000-01-01T00:00:00Z",
        "+275760-09-13T00:00:00.001Z",
        "-200000-01-01T00:00:00Z",
        "2024-05-06\u0000",
        "\u0662\u0660\u0662\u0664",
    ],
)
def test_since_is_ignored(text: str) -> None:
    assert parse_since(text) is None


@given(st.text(max_size=40))
def test_since_takes_any_text(text: str) -> None:
    parse_since(text)


def test_the_calendar_is_its_own_inverse_across_an_era() -> None:
    for days in range(-150_000, 150_000, 97):
        assert times._days(*times._civil(days)) == days
