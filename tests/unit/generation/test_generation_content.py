"""What is stored: text and metadata agree, and neither has anything private in it."""

from __future__ import annotations

from claude_mem.generation import DraftObservation, DraftSummary, render_observation, render_summary


def test_an_observations_text_is_its_parts_joined_by_blank_lines() -> None:
    draft = DraftObservation(
        type="bugfix",
        title="Title",
        subtitle="Sub",
        narrative="Story",
        facts=["one", "two"],
        concepts=["gotcha"],
    )
    rendered = render_observation(draft, provider="claude", model="m")
    assert rendered.kind == "bugfix"
    assert rendered.content == "Title\n\nSub\n\nStory\n\n- one\n- two"
    assert rendered.metadata == {
        "title": "Title",
        "subtitle": "Sub",
        "facts": ["one", "two"],
        "narrative": "Story",
        "concepts": ["gotcha"],
        "files_read": [],
        "files_modified": [],
        "provider": "claude",
        "model": "m",
    }


def test_missing_parts_leave_no_gap() -> None:
    rendered = render_observation(
        DraftObservation(type="c", title="Title", facts=["- fé"]), provider="p", model="m"
    )
    assert rendered.content == "Title\n\n- - fé"
    assert rendered.metadata["narrative"] is None


def test_private_spans_and_secrets_reach_neither_text_nor_metadata() -> None:
    token = "ghp_" + "a1B2" * 9
    draft = DraftObservation(
        type="change",
        title="<private>x9</private>",
        narrative=f"used {token}",
        facts=["ok", "<PRIVATE>x9</PRIVATE>"],
    )
    rendered = render_observation(draft, provider="p", model="m")
    stored = rendered.content + repr(rendered.metadata)
    assert "x9" not in stored
    assert token not in stored
    assert rendered.metadata["title"] is None
    assert rendered.metadata["facts"] == ["ok"]
    assert rendered.redactions == 3


def test_an_observation_of_private_text_alone_has_no_content() -> None:
    rendered = render_observation(
        DraftObservation(type="c", title="<private>x</private>"), provider="p", model="m"
    )
    assert rendered.content == ""


def test_a_summarys_text_is_labelled_lines() -> None:
    summary = DraftSummary(request="r", completed="c", next_steps="n", notes="<private>x9</private>")
    rendered = render_summary(summary, provider="p", model="m", method="rules")
    assert rendered.kind == "summary"
    assert rendered.content == "Request: r\n\nCompleted: c\n\nNext steps: n"
    assert rendered.metadata == {
        "request": "r",
        "investigated": None,
        "learned": None,
        "completed": "c",
        "next_steps": "n",
        "notes": None,
        "provider": "p",
        "model": "m",
        "method": "rules",
    }
