"""Cutting a text: how long it takes, how full the chunks are, and what each chunker gets wrong.

Peers are measured where they are installed, which `make bench` does in their own environment.
"""

from __future__ import annotations

import operator
import random
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import regex

from tests.benchmarks.table import Table, keep, versions_of
from tframex.chunking import chunk_text
from tframex.tokens import TiktokenCounter, _load

__all__ = ["run"]

PACKAGES = ("semchunk", "semantic-text-splitter", "chonkie", "langchain-text-splitters")
SIZE, OVERLAP, LENGTH, ROUNDS = 1000, 0, 3_000_000, 5
SMALL_SIZE, SMALL_OVERLAP = 200, 40
ROOT = Path(__file__).parents[2]
Spans = list[tuple[str, int | None]]
"""The chunks, and where each begins, if the chunker says so."""

ENCODING = _load("cl100k_base", False)
COUNT = TiktokenCounter().count
MIXED = (
    "海は静かだった。誰も話さなかった。\n\n"
    "\U0001f469\U0001f3fd‍\U0001f680 \U0001f1eb\U0001f1f7\U0001f1eb\U0001f1f7 ok. "
    '{"key": [1, 22, 333]}\n'
    "def f(x):\n    return x\n\n"
    "One sentence of prose, and another one. " * 4
) * 60


def ours(text: str, size: int, overlap: int) -> Spans:
    return [(chunk.text, chunk.start) for chunk in chunk_text(text, size, overlap)]


def by_semchunk(text: str, size: int, overlap: int) -> Spans:
    import semchunk

    chunks, offsets = semchunk.chunkerify(COUNT, size)(text, offsets=True, overlap=overlap or None)
    return [(chunk, start) for chunk, (start, _) in zip(chunks, offsets, strict=True)]


def by_semantic_text_splitter(text: str, size: int, overlap: int) -> Spans:
    from semantic_text_splitter import TextSplitter

    splitter = TextSplitter.from_tiktoken_model("gpt-4", size, overlap=overlap, trim=False)
    positions = [(start, chunk) for start, chunk in splitter.chunk_indices(text)]
    return [(chunk, start) for start, chunk in positions]


def by_chonkie(text: str, size: int, overlap: int) -> Spans:
    from chonkie import SentenceChunker

    chunker = SentenceChunker(tokenizer=ENCODING, chunk_size=size, chunk_overlap=overlap)
    return [(chunk.text, chunk.start_index) for chunk in chunker.chunk(text)]


def by_chonkie_tokens(text: str, size: int, overlap: int) -> Spans:
    from chonkie import TokenChunker

    chunker = TokenChunker(tokenizer=ENCODING, chunk_size=size, chunk_overlap=overlap)
    return [(chunk.text, chunk.start_index) for chunk in chunker.chunk(text)]


def by_langchain(text: str, size: int, overlap: int) -> Spans:
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=size, chunk_overlap=overlap, length_function=COUNT, add_start_index=True
    )
    return [(page.page_content, page.metadata["start_index"]) for page in splitter.create_documents([text])]


CHUNKERS: dict[str, tuple[str, Callable[[str, int, int], Spans]]] = {
    "tframex.chunk_text": ("tframex", ours),
    "semchunk": ("semchunk", by_semchunk),
    "semantic-text-splitter": ("semantic_text_splitter", by_semantic_text_splitter),
    "chonkie, sentences": ("chonkie", by_chonkie),
    "chonkie, tokens": ("chonkie", by_chonkie_tokens),
    "LangChain, recursive": ("langchain_text_splitters", by_langchain),
}


def violations(text: str, chunks: Spans, size: int, overlap: int) -> dict[str, int]:
    """How many chunks break each point of the contract."""
    borders = {0} | {match.end() for match in regex.finditer(r"\X", text)}
    found = dict.fromkeys(("too large", "not in the text", "overlap", "grapheme"), 0)
    spans: list[tuple[int, int]] = []
    for chunk, start in chunks:
        found["too large"] += COUNT(chunk) > size
        if start is None or start < 0 or text[start : start + len(chunk)] != chunk:
            found["not in the text"] += 1
        else:
            spans.append((start, start + len(chunk)))
            found["grapheme"] += not {start, start + len(chunk)} <= borders
    found["overlap"] = sum(COUNT(text[b[0] : a[1]]) > overlap for a, b in pairwise(spans) if b[0] < a[1])
    covered, uncovered = 0, 0
    for start, end in spans:
        uncovered += bool(text[covered:start].strip())
        covered = max(covered, end)
    found["gaps"] = uncovered
    return found


def prose(seed: int) -> str:
    """3 MB of sentences and paragraphs from the words of the example text, none said twice: repetition can be cached."""
    words = (ROOT / "examples" / "longtext.txt").read_text(encoding="utf-8").split()
    seeded = random.Random(seed)
    paragraphs: list[str] = []
    length = 0
    while length < LENGTH:
        sentences = [" ".join(seeded.choices(words, k=seeded.randint(6, 25))) for _ in range(seeded.randint(2, 7))]
        paragraphs.append(" ".join(f"{sentence.strip('.,;').capitalize()}." for sentence in sentences))
        length += len(paragraphs[-1]) + 2
    return "\n\n".join(paragraphs)[:LENGTH]


def run() -> None:
    """Print both tables, and keep them for the page."""
    installed = {name: function for name, (module, function) in CHUNKERS.items() if find_spec(module)}
    times: dict[str, list[float]] = {name: [] for name in ("one pass", *installed)}
    fills: dict[str, float] = {}
    for number in range(ROUNDS):
        # Another text each time: some remember what they have counted.
        text = prose(number)
        for name in times:
            began = time.process_time()
            chunks = installed[name](text, SIZE, OVERLAP) if name in installed else []
            if not chunks:
                ENCODING.encode_ordinary(text)
            times[name].append(time.process_time() - began)
            if chunks and name not in fills:
                fills[name] = statistics.mean(COUNT(chunk) for chunk, _ in chunks[:-1]) / SIZE
    speed = Table(
        "Cutting a text",
        f"{LENGTH / 1e6:.0f} MB of prose into chunks of {SIZE} tokens; CPU over that of one `encode_ordinary` pass "
        f"({statistics.median(times['one pass']):.2f} s), medians of {ROUNDS} rounds with another text each.",
        ["chunker", "times one pass", "mean fill"],
        [
            [
                name,
                f"{statistics.median(map(operator.truediv, times[name], times['one pass'])):.2f}",
                f"{fills[name]:.1%}",
            ]
            for name in installed
        ],
        plot=1,
    )
    broken: list[list[str]] = []
    kinds: list[str] = []
    for name, function in installed.items():
        chunks = function(MIXED, SMALL_SIZE, SMALL_OVERLAP)
        found = violations(MIXED, chunks, SMALL_SIZE, SMALL_OVERLAP)
        kinds = list(found)
        broken.append([name, str(len(chunks)), *map(str, found.values())])
    contract = Table(
        "Chunks that break the contract",
        f"Of a text with emoji and Chinese, {SMALL_SIZE} tokens, overlap {SMALL_OVERLAP}: chunks that are too large, "
        "are not a piece of the text, share more than the overlap, end inside a character as people see it, or "
        "leave a gap.",
        ["chunker", "chunks", *kinds],
        broken,
    )
    for table in (speed, contract):
        print(table)
    keep("chunking", [speed, contract], versions_of("tframex", *PACKAGES))


if __name__ == "__main__":
    run()
