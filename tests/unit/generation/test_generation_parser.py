"""Replies of models, well and badly formed, are read as far as they can be, and no further."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claude_mem.generation import DraftObservation, ParseError, Reply, parse_reply


def read(text: str | None, *events: str) -> Reply:
    return parse_reply(text, default_type="bugfix", event_ids=events)


def one(text: str) -> DraftObservation:
    (observation,) = read(text).observations
    return observation


FULL = """<observation>
  <type>feature</type>
  <title> Rate limiter </title>
  <subtitle>Per key</subtitle>
  <facts><fact>Counts per minute</fact><fact> </fact><fact>Answers 429</fact></facts>
  <narrative>It counts.
Then it refuses.</narrative>
  <concepts>
    <concept>pattern: token bucket</concept><concept>feature</concept><concept>: x</concept>
  </concepts>
  <files_read><file>a.py</file></files_read>
  <files_modified><file>b.py</file><file>c.py</file></files_modified>
</observation>"""


def test_every_part_of_an_observation_is_read() -> None:
    assert one(FULL) == DraftObservation(
        type="feature",
        title="Rate limiter",
        subtitle="Per key",
        facts=["Counts per minute", "Answers 429"],
        narrative="It counts.\nThen it refuses.",
        concepts=["pattern"],
        files_read=["a.py"],
        files_modified=["b.py", "c.py"],
    )


@pytest.mark.parametrize("opening", ["```", "```xml", "``` xml"])
def test_a_fence_around_everything_is_taken_off(opening: str) -> None:
    assert one(f"\n{opening}\n{FULL}\n```\n").title == "Rate limiter"


def test_prose_around_blocks_is_passed_over() -> None:
    assert len(read(f"Here you are:\n{FULL}\nand another\n{FULL}\nDone.").observations) == 2


@pytest.mark.parametrize(
    "marker",
    [
        "<skip_summary/>",
        "<skip_summary />",
        '<skip_summary reason="only > listings"/>',
        "<skip_summary reason='none' />",
        "<skip_summary></skip_summary>",
        f"Nothing here. <skip_summary /> {FULL}",
        f"{FULL}<skip_summary/>",
    ],
)
def test_the_skip_marker_anywhere_means_that_nothing_is_kept(marker: str) -> None:
    assert read(marker) == Reply(skipped=True)


@pytest.mark.parametrize("text", ["<skip_summary", "<skip_summaryx/>", "&lt;skip_summary/&gt;"])
def test_what_only_resembles_the_marker_is_none(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


def test_a_missing_type_is_the_modes_first_and_an_unknown_one_is_kept() -> None:
    assert one("<observation><title>t</title></observation>").type == "bugfix"
    assert one("<observation><type> </type><title>t</title></observation>").type == "bugfix"
    assert one("<observation><type>epiphany</type><title>t</title></observation>").type == "epiphany"


def test_a_concept_equal_to_the_type_is_dropped_whoever_set_the_type() -> None:
    text = (
        "<observation><title>t</title><concepts><concept>bugfix</concept><concept>gotcha</concept></concepts>"
        "</observation>"
    )
    assert one(text).concepts == ["gotcha"]


def test_a_block_that_says_nothing_is_dropped() -> None:
    empty = "<observation><type>change</type><subtitle>s</subtitle></observation>"
    assert len(read(empty + FULL).observations) == 1
    with pytest.raises(ParseError, match=r"^parser rejected response$"):
        read(empty)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "  \n",
        "I cannot help with that.",
        "<OBSERVATION><title>t</title></OBSERVATION>",
        '<observation id="1"><title>t</title></observation>',
        "<summary><notes>only notes</notes></summary>",
        "<summary></summary>",
        "{}",
        '{"observations": "none"}',
        '{"observations": [{"type": "change"}]}',
        '{"title": "t"}',
        "[1, 2]",
    ],
)
def test_a_reply_without_anything_usable_is_an_error(text: str | None) -> None:
    with pytest.raises(ParseError):
        read(text)


def test_the_first_root_decides() -> None:
    summary = "<summary><request>r</request></summary>"
    assert read(FULL + summary).summary is None
    reply = read(summary + FULL)
    assert reply.summary is not None
    assert reply.observations == []


def test_a_summary_is_read_and_its_blanks_are_none() -> None:
    summary = read(
        "<summary><request>r</request><investigated> </investigated><learned>l</learned>"
        "<completed>c</completed><next_steps>n &amp; m</next_steps><notes></notes></summary>"
        "<summary><request>second</request></summary>"
    ).summary
    assert summary is not None
    assert summary.model_dump() == {
        "request": "r",
        "investigated": None,
        "learned": "l",
        "completed": "c",
        "next_steps": "n & m",
        "notes": None,
    }


def test_entities_are_resolved_once_and_bare_ampersands_stay() -> None:
    text = "<observation><title>a &lt;b&gt; &amp;lt; &#233; &#x2014; R&D &copy; &#0;</title></observation>"
    assert one(text).title == "a <b> &lt; é — R&D &copy; &#0;"


def test_a_cdata_section_is_literal() -> None:
    text = "<observation><narrative>x &lt; <![CDATA[if a < b && c: &amp;]]> end</narrative></observation>"
    assert one(text).narrative == "x < if a < b && c: &amp; end"


def test_angle_brackets_within_a_text_survive() -> None:
    narrative = "Map<String, List<Foo>> and <title>this</title>, </observation> and <observation> are text"
    text = f"<observation><narrative>{narrative}</narrative><title>real</title></observation>"
    assert one(text).narrative == narrative
    assert one(text).title == "real"


def test_a_reply_that_broke_off_is_kept_as_far_as_it_goes() -> None:
    text = FULL + "<observation><type>change</type><title>Second</title><narrative>It was cut in the mid"
    assert [item.title for item in read(text).observations] == ["Rate limiter", "Second"]
    assert read(text).observations[1].narrative == "It was cut in the mid"


def test_a_field_that_is_never_closed_ends_where_the_next_begins() -> None:
    text = (
        "<observation><title>First<narrative>N1</narrative></observation>"
        "<observation><title>Second</title><narrative>N2</narrative></observation>"
    )
    assert [(item.title, item.narrative) for item in read(text).observations] == [
        ("First", "N1"),
        ("Second", "N2"),
    ]


def test_a_block_that_is_never_closed_ends_where_the_next_begins() -> None:
    text = "<observation><title>A</title><observation><title>B</title></observation>"
    assert [item.title for item in read(text).observations] == ["A", "B"]


def test_lists_without_elements_are_taken_by_line() -> None:
    text = "<observation><facts>\n- one\n- two\n</facts></observation>"
    assert one(text).facts == ["one", "two"]


def test_source_events_are_numbers_or_ids_of_the_request() -> None:
    block = "<observation><title>t</title><source_events>{}</source_events></observation>"
    assert read(block.format("1, 3"), "a", "b", "c").observations[0].source_events == ["a", "c"]
    assert read(block.format("b"), "a", "b", "c").observations[0].source_events == ["b"]
    assert read(block.format("9 none"), "a", "b").observations[0].source_events == []


OBSERVATION: dict[str, Any] = {
    "type": "change",
    "title": "T",
    "subtitle": None,
    "facts": ["f"],
    "narrative": "n",
    "concepts": ["gotcha: x", "change"],
    "files_read": [],
    "files_modified": ["a.py"],
    "source_events": [2],
}


def test_a_structured_reply_gives_the_same_model() -> None:
    (found,) = read(json.dumps({"observations": [OBSERVATION], "skipped": False}), "x", "y").observations
    assert (found.title, found.concepts, found.source_events) == ("T", ["gotcha"], ["y"])
    assert read(json.dumps([OBSERVATION])).observations[0].title == "T"
    assert read(f"```json\n{json.dumps({'observations': [OBSERVATION]})}\n```").observations[0].title == "T"


@pytest.mark.parametrize("document", [{"skipped": True}, {"observations": [], "skipped": False}])
def test_a_structured_reply_can_skip(document: dict[str, Any]) -> None:
    assert read(json.dumps(document)).skipped


def test_a_structured_summary_is_read() -> None:
    summary = read('{"summary": {"request": "r", "learned": null}}').summary
    assert summary is not None
    assert summary.request == "r"


def test_a_structured_reply_that_broke_off_keeps_what_is_whole() -> None:
    text = json.dumps({"observations": [OBSERVATION, OBSERVATION | {"title": "U"}]})
    assert [item.title for item in read(text[:-60]).observations] == ["T", "U"]


def test_what_the_database_cannot_hold_is_removed() -> None:
    (found,) = read('{"observations": [{"title": "a\\u0000b", "narrative": "\\ud800 tail"}]}').observations
    assert found.title == "ab"
    assert found.narrative is not None
    found.narrative.encode()


@given(st.text(alphabet="<>/observatin summary_kp &;\"'{}[]`\n", max_size=300))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        reply = read(text)
    except ParseError:
        return
    assert reply.skipped or reply.observations or reply.summary


@pytest.mark.timeout(300)  # of hours, where the time grows with the square
@pytest.mark.parametrize(
    "piece", ["<title>", "<observation>", "<skip_summary '", "<facts><fact>", "&lt;", "<![CDATA["]
)
def test_a_long_and_hostile_reply_is_read_quickly(piece: str) -> None:
    text = "<observation>" + piece * 100_000
    try:
        reply = read(text)
    except ParseError:
        return
    assert len(reply.observations) <= 200
