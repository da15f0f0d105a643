"""Times in words: what a question means by them, and what is no time."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.retrieval import periods
from claude_mem.retrieval.parser import parse

#: A Wednesday.
NOW = int(datetime(2026, 3, 18, 15, 30, tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("text", "since", "until"),
    [
        ("\u017feptember 5", "2025-09-05", "2025-09-06"),
        ("yesterday", "2026-03-17", "2026-03-18"),
        ("what broke today", "2026-03-18", "2026-03-19"),
        ("last week", "2026-03-09", "2026-03-16"),
        ("this week", "2026-03-16", "2026-03-23"),
        ("last month", "2026-02-01", "2026-03-01"),
        ("last year", "2025-01-01", "2026-01-01"),
        ("3 days ago", "2026-03-15", "2026-03-16"),
        ("two weeks ago", "2026-03-02", "2026-03-09"),
        ("three months ago", "2025-12-01", "2026-01-01"),
        ("a year ago", "2025-01-01", "2026-01-01"),
        ("in the last 2 days", "2026-03-16", "2026-03-19"),
        ("in March 2025", "2025-03-01", "2025-04-01"),
        ("Dec. 2024", "2024-12-01", "2025-01-01"),
        ("in april", "2025-04-01", "2025-05-01"),
        ("in 2024", "2024-01-01", "2025-01-01"),
        ("on March 5", "2026-03-05", "2026-03-06"),
        ("5th of April", "2025-04-05", "2025-04-06"),
        ("May 5th, 2024", "2024-05-05", "2024-05-06"),
        ("2025-03-14", "2025-03-14", "2025-03-15"),
        ("2025-03", "2025-03-01", "2025-04-01"),
        ("at 2025-03-14T10:00:00.5+02:00", "2025-03-14", "2025-03-15"),
        ("2025-02-30 or yesterday", "2026-03-17", "2026-03-18"),
        # Weekdays
        ("what broke on Friday", "2026-03-13", "2026-03-14"),
        ("on wednesday", "2026-03-18", "2026-03-19"),
        ("last Wednesday", "2026-03-11", "2026-03-12"),
        ("last Monday", "2026-03-16", "2026-03-17"),
        ("this Monday", "2026-03-16", "2026-03-17"),
        ("on Monday last week", "2026-03-09", "2026-03-10"),
        ("Friday night deploys", "2026-03-13", "2026-03-14"),
        ("last weekend", "2026-03-14", "2026-03-16"),
        ("over the weekend", "2026-03-14", "2026-03-16"),
        # Parts of days, and units
        ("what did we do this morning", "2026-03-18", "2026-03-19"),
        ("tonight", "2026-03-18", "2026-03-19"),
        ("last night", "2026-03-17T12:00", "2026-03-18T12:00"),
        ("2 hours ago", "2026-03-18T12:30", "2026-03-18T14:30"),
        ("2h ago", "2026-03-18T12:30", "2026-03-18T14:30"),
        ("20 minutes ago", "2026-03-18T15:05", "2026-03-18T15:15"),
        ("in the last 2 hours", "2026-03-18T13:30", "2026-03-19"),
        ("last 24h", "2026-03-17T15:30", "2026-03-19"),
        ("the past hour", "2026-03-18T14:30", "2026-03-19"),
        ("last quarter", "2025-10-01", "2026-01-01"),
        ("two quarters ago", "2025-07-01", "2025-10-01"),
        ("Q3 2025", "2025-07-01", "2025-10-01"),
        ("in Q4", "2025-10-01", "2026-01-01"),
        ("a fortnight ago", "2026-03-02", "2026-03-09"),
        ("2025-W12", "2025-03-17", "2025-03-24"),
        ("2025-W12-3", "2025-03-19", "2025-03-20"),
        ("week 12 of 2025", "2025-03-17", "2025-03-24"),
        ("in early March", "2026-03-01", "2026-04-01"),
        # Counts
        ("ten days ago", "2026-03-08", "2026-03-09"),
        ("twenty-one days ago", "2026-02-25", "2026-02-26"),
        ("a couple of weeks ago", "2026-02-23", "2026-03-09"),
        ("a few weeks ago", "2026-02-09", "2026-03-09"),
        ("the last few days", "2026-03-13", "2026-03-19"),
        ("the day before yesterday", "2026-03-16", "2026-03-17"),
        ("the week before last", "2026-03-02", "2026-03-09"),
        # Open at one end
        ("since March", "2026-03-01", "2026-03-19"),
        ("since last Friday", "2026-03-13", "2026-03-19"),
        ("since the day before yesterday", "2026-03-16", "2026-03-19"),
        ("since 2024", "2024-01-01", "2026-03-19"),
        ("before June", "1970-01-01", "2025-06-01"),
        ("before may", "1970-01-01", "2025-05-01"),
        ("after the 3rd of May", "2025-05-04", "2026-03-19"),
        ("until yesterday", "1970-01-01", "2026-03-18"),
        ("until March", "1970-01-01", "2026-04-01"),
        ("until the end of March", "1970-01-01", "2026-04-01"),
        # From one to another
        ("from March to May", "2025-03-01", "2025-06-01"),
        ("from November to January 2025", "2024-11-01", "2025-02-01"),
        ("between 2023 and 2024", "2023-01-01", "2025-01-01"),
        ("between 3 and 5 May", "2025-05-03", "2025-05-06"),
        ("between the 3rd and the 5th of May 2024", "2024-05-03", "2024-05-06"),
        ("May 3-5", "2025-05-03", "2025-05-06"),
        ("from March 3 to 5", "2026-03-03", "2026-03-06"),
        ("from Monday to Wednesday", "2026-03-16", "2026-03-19"),
        ("from last Friday to yesterday", "2026-03-13", "2026-03-18"),
        ("from January until now", "2026-01-01", "2026-03-19"),
        ("from 2025-03-10 to 2025-03-14", "2025-03-10", "2025-03-15"),
        # What cannot be opened is what it is by itself.
        ("two days before yesterday", "2026-03-17", "2026-03-18"),
        ("after today", "2026-03-18", "2026-03-19"),
    ],
)
def test_times_in_words(text: str, since: str, until: str) -> None:
    period = periods.find(text, now_us=NOW)
    assert period is not None
    found = [datetime.fromtimestamp(us / 1e6, UTC) for us in (period.since_us, period.until_us)]
    assert found == [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (since, until)]


@pytest.mark.parametrize(
    "text",
    [
        *("may the parser march on", "99999999 years ago", "1.2.3", "0000-00-00", "2025-13", "2025-W60"),
        *("how may 2 workers share a lock", "do 5 may fail", "how may 3-5 workers", "before may be lost"),
        *("the second time", "in the second week", "the sun is up", "on sun hardware", "on mon failures"),
        *("before the migration", "since the last release", "after the third retry", "timeout after 2 days"),
        *(
            "after 2048 bytes",
            "before 2000 rows",
            "between 10 and 20 workers",
            "from the parser to the march",
        ),
        *("every friday", "on Fridays", "next Friday", "on monday.com", "a week before the release"),
        *("1.5 hours ago", "half a year ago", "the last quarter of the file", "in q4", "twenty days"),
    ],
)
def test_what_is_no_time(text: str) -> None:
    assert periods.find(text, now_us=NOW) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("deploys since yesterday", {"deploy"}),
        ("deploys since March", {"deploy", "march"}),
        ("deploys on Wednesday", {"deploy", "wednesday"}),
        ("deploys last Friday", {"deploy"}),
        ("deploys from last week to today", {"deploy"}),
    ],
)
def test_only_words_that_mean_a_time_from_today_are_left_out(text: str, expected: set[str]) -> None:
    assert {term.text for term in parse(text, now_us=NOW).terms} == expected


def test_letters_that_are_the_same_in_another_case_alone_are_read_alike() -> None:
    assert (
        periods.find("last 5 m\u0130nutes", now_us=NOW)
        == periods.find("last 5 mInutes", now_us=NOW)
        is not None
    )


def test_a_time_is_looked_for_in_the_beginning_of_what_was_pasted() -> None:
    assert periods.find("a log " * 100 + "of yesterday", now_us=NOW) is not None
    assert periods.find("a log " * 200 + "of yesterday", now_us=NOW) is None


WORDS = """
    since after before until till from between to and the of in on last past this ago a an few couple several ten twenty
    one day days week month quarter year hour minute weekend fortnight today yesterday tonight now night morning may May
    march March december Friday monday 3 5 31 0 99 2024 2025-02-30 2025-W53 W12 Q3 Q9 week 3rd 5th - , . 12-31
"""


@given(st.lists(st.sampled_from(WORDS.split()), max_size=12))
def test_whatever_is_read_begins_before_it_ends(words: list[str]) -> None:
    period = periods.find(" ".join(words), now_us=NOW)
    assert period is None or period.since_us < period.until_us
