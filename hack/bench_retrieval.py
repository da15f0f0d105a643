"""Measures how often search finds the memories that answer a question, over HTTP, on both storages.

The data is a directory with `sessions.json` (`sessionId`, and `messages` with `content`) and `questions.json` (`question`,
and `haystackSessionIds`, the sessions that answer it; questions without are left out). It is remembered twice: whole
sessions as memories, and single messages as memories that stand for their session. Of each ranking the first five
different sessions count.

With `--vectors` the same is asked of a PostgreSQL with pgvector: without vectors, with those of a stand-in for a model
(`hack.embedding_server`), and with vectors by chance, the worst of models. None may lower a figure, whatever `--limit` the
pages have.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.table import Table

from hack.bench_search_server import Serving
from hack.embedding_server import LatentSemantics, noise
from hack.embedding_server import serving as serving_vectors
from tests.support.postgres import PostgresServer

#: any@5, all@5 and MRR that count as met, on the data that they were set for.
TARGETS = {"sessions": (0.985, 0.865, 0.88), "turns": (0.97, 0.84, 0.85)}
TOP = 5
LIMIT = 100

console = Console()


class Memory(NamedTuple):
    """A text, and the session that it stands for."""

    session: str
    content: str


class Figures(NamedTuple):
    """Shares of questions: with one of their sessions among the first five, with all; and the mean of 1/rank."""

    any_at_5: float
    all_at_5: float
    mrr: float


def memories(sessions: list[dict[str, Any]]) -> dict[str, list[Memory]]:
    """What is remembered in each form."""
    return {
        "sessions": [
            Memory(session["sessionId"], "\n\n".join(message["content"] for message in session["messages"]))
            for session in sessions
        ],
        "turns": [
            Memory(session["sessionId"], message["content"])
            for session in sessions
            for message in session["messages"]
            if message["content"]
        ],
    }


def measure(
    serving: Serving, remembered: list[Memory], questions: list[dict[str, Any]], *, limit: int
) -> Figures:
    """Remember everything, ask everything for pages of `limit` memories."""
    headers = {"Authorization": f"Bearer {serving.key}"} if serving.key else {}
    with httpx.Client(base_url=serving.url, headers=headers, timeout=60) as client:
        session_of: dict[str, str] = {}
        for memory in remembered:
            body = {"projectId": serving.project, "content": memory.content}
            made = client.post("/v1/memories", json=body).raise_for_status().json()
            session_of[made["memory"]["id"]] = memory.session

        def ranked(question: dict[str, Any]) -> list[str]:
            body = {"projectId": serving.project, "query": question["question"], "limit": limit}
            found = client.post("/v1/search", json=body).raise_for_status().json()["observations"]
            return list(dict.fromkeys(session_of[memory["id"]] for memory in found))

        serving.wait_for_vectors(len(remembered))
        with ThreadPoolExecutor(4) as threads:
            rankings = list(threads.map(ranked, questions))
    return figures(rankings, [question["haystackSessionIds"] for question in questions])


def figures(rankings: list[list[str]], expected: list[list[str]]) -> Figures:
    """Compare rankings of sessions with those that were to be found."""
    some = every = reciprocal = 0.0
    for ranking, wanted in zip(rankings, expected, strict=True):
        found = [session in ranking[:TOP] for session in wanted]
        some += any(found)
        every += all(found)
        reciprocal += max((1 / (ranking.index(one) + 1) for one in wanted if one in ranking), default=0)
    return Figures(some / len(expected), every / len(expected), reciprocal / len(expected))


def main() -> int:
    """Measure, print, and return 1 when a target is missed or vectors lower a figure."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.bench_retrieval", description=__doc__.splitlines()[0]
    )
    parser.add_argument("data", type=Path, help="directory with sessions.json and questions.json")
    parser.add_argument("--vectors", action="store_true", help="compare search with vectors and without")
    parser.add_argument("--limit", type=int, default=LIMIT, help="memories that a page has")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON only")
    arguments = parser.parse_args()
    sessions = json.loads((arguments.data / "sessions.json").read_text("utf-8"))
    asked = json.loads((arguments.data / "questions.json").read_text("utf-8"))
    questions = [question for question in asked if question["haystackSessionIds"]]
    results: dict[str, dict[str, Figures]] = {}
    with ExitStack() as stack:
        for storage, start in _storages(stack, sessions, vectors=arguments.vectors):
            for form, remembered in memories(sessions).items():
                with start() as serving:
                    found = measure(serving, remembered, questions, limit=arguments.limit)
                results.setdefault(form, {})[storage] = found
    if arguments.json:
        print(
            json.dumps(
                {form: {name: one._asdict() for name, one in by.items()} for form, by in results.items()}
            )
        )
    else:
        _print(results, questions=len(questions))
    met = [
        value >= target
        for form, by in results.items()
        for one in by.values()
        for value, target in zip(one, TARGETS[form], strict=True)
    ]
    lowered = _lowered(results)
    if lowered and not arguments.json:
        console.print(f"Vectors lower what words find: {'; '.join(lowered)}.")
    return 0 if all(met) and not lowered else 1


def _lowered(results: dict[str, dict[str, Figures]]) -> list[str]:
    """Where vectors find less than words alone, by any figure."""
    return [
        f"{form}, {name}"
        for form, by in results.items()
        for name, one in by.items()
        if any(value < alone for value, alone in zip(one, by.get("words", one), strict=True))
    ]


def _storages(
    stack: ExitStack, sessions: list[dict[str, Any]], *, vectors: bool
) -> Iterator[tuple[str, Callable[[], Serving]]]:
    """What is measured, by name, each with how to start a server over it."""
    if not vectors:
        yield "postgres", partial(Serving, stack.enter_context(PostgresServer()))
        yield "sqlite", partial(Serving, None)
        return
    postgres = stack.enter_context(PostgresServer(vectors=True))
    texts = [memory.content for memory in memories(sessions)["turns"]]
    yield "words", partial(Serving, postgres)
    for name, embed in (("stand-in", LatentSemantics(texts)), ("chance", noise)):
        url = stack.enter_context(serving_vectors(embed))
        yield f"words + {name}", partial(Serving, postgres, embeddings=url)


def _print(results: dict[str, dict[str, Figures]], *, questions: int) -> None:
    table = Table(title=f"{questions} questions with an answer", title_justify="left")
    for heading in ("Memories", "Storage", "any@5", "all@5", "MRR"):
        table.add_column(heading)
    for form, by in results.items():
        for storage, found in by.items():
            cells = [
                f"{value:.3f} ({'met' if value >= target else 'MISSED'}: {target})"
                for value, target in zip(found, TARGETS[form], strict=True)
            ]
            table.add_row(form, storage, *cells)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
