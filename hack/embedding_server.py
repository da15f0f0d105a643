"""An embeddings endpoint for trying out and measuring semantic search without a model or a network.

`python -m hack.embedding_server TEXTS --port 8099` speaks OpenAI's `/v1/embeddings`. Its vectors are those of latent
semantic analysis (Deerwester et al., "Indexing by Latent Semantic Analysis", 1990): counts of words and of their runs of
four characters, weighted by rarity, reduced to the few directions that explain most of a collection of texts. TEXTS is a
JSON file of such texts. It knows no word that they lack, so it shows how search works, not how well a trained model does.

With `--noise` its vectors are drawn by chance, as by the worst of models: what words find must survive it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.support.embeddings import FakeEmbeddings

_BUCKETS = 4096
_DIRECTIONS = 24
_RUN = 4

Matrix = NDArray[np.float64]
Embed = Callable[[Sequence[str]], list[list[float]]]


class LatentSemantics:
    """Vectors from a collection of texts.

    Parameters:
        texts: what the directions are taken from.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        counts = _counts(texts)
        self._rarity: Matrix = np.log((1 + len(texts)) / (1 + (counts > 0).sum(axis=0))) + 0.1
        _, _, directions = np.linalg.svd(self._weighted(counts), full_matrices=False)
        self._directions: Matrix = directions[:_DIRECTIONS].T

    def __call__(self, texts: Sequence[str]) -> list[list[float]]:
        found = self._weighted(_counts(texts)) @ self._directions
        # A text of unknown words points nowhere, which no model says.
        found[~found.any(axis=1), 0] = 1e-6
        vectors: list[list[float]] = found.tolist()
        return vectors

    def _weighted(self, counts: Matrix) -> Matrix:
        weighted: Matrix = np.log1p(counts) * self._rarity
        lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
        result: Matrix = weighted / np.maximum(lengths, 1e-9)
        return result


def noise(texts: Sequence[str]) -> list[list[float]]:
    """Vectors by chance, the same each time for one text."""
    return [
        np.random.default_rng(zlib.crc32(text.encode())).normal(size=_DIRECTIONS).tolist() for text in texts
    ]


def _counts(texts: Sequence[str]) -> Matrix:
    counts = np.zeros((len(texts), _BUCKETS))
    for number, text in enumerate(texts):
        for word in re.findall(r"\w+", text.lower()):
            padded = f"#{word}#"
            parts = [word, *(padded[at : at + _RUN] for at in range(len(padded) - _RUN + 1))]
            for part in parts:
                counts[number, zlib.crc32(part.encode()) % _BUCKETS] += 1
    return counts


@contextmanager
def serving(embed: Embed) -> Iterator[str]:
    """The endpoint in a thread of its own, and its base URL."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    endpoint = FakeEmbeddings(embed)
    asyncio.run_coroutine_threadsafe(endpoint.__aenter__(), loop).result()
    try:
        yield endpoint.url
    finally:
        asyncio.run_coroutine_threadsafe(endpoint.__aexit__(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _serve(embed: Embed, port: int) -> None:
    async with FakeEmbeddings(embed, port=port) as endpoint:
        print(json.dumps({"url": endpoint.url}), flush=True)
        await asyncio.Event().wait()


def main() -> int:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m hack.embedding_server", description=__doc__.splitlines()[0]
    )
    parser.add_argument("texts", type=Path, help="a JSON file with a list of texts")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--noise", action="store_true", help="vectors by chance")
    arguments = parser.parse_args()
    embed: Embed = (
        noise if arguments.noise else LatentSemantics(json.loads(arguments.texts.read_text("utf-8")))
    )
    try:
        asyncio.run(_serve(embed, arguments.port))
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
