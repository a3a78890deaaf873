"""The contract of a chunk, for any text."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex
import tiktoken
from hypothesis import given
from hypothesis import strategies as st
from tiktoken.load import load_tiktoken_bpe

from tframex.chunking import Chunk, chunk_text
from tframex.errors import ChunkingError, ConfigurationError
from tframex.tokens import TiktokenCounter, TokenCounter, default_counter

FAMILY = "\U0001f469\U0001f3fd‍\U0001f680"
PIECES = st.sampled_from(
    [
        "The sea was calm that day, and nobody spoke. ",
        "Why? Because it was late!\n",
        "\n\n",
        "\r\n",
        "海は静かだった。",
        "e\u0301",
        FAMILY,
        "\U0001f1eb\U0001f1f7",
        "def f(x):\n    return x\n",
        '{"key": [1, 22, 333]}',
        "0123456789" * 3,
        "unbroken" * 5,
        "  ",
        "한글",
        "नमस्ते ",
        "\u0600\u0661",
        "z" + "\u0334\u0335" * 4,
        "# A heading\n\n",
        "```py\nx = 1\n\ny = 2\n```\n",
        "...... ",
    ]
)
TEXTS = st.lists(PIECES, max_size=60).map("".join) | st.text(max_size=200)


class ByteCounter:
    """Counts UTF-8 bytes."""

    exact = True

    def count(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass"))

    def count_messages(self, messages: Any) -> int:
        raise NotImplementedError("not needed to cut a text")


def qwen() -> TiktokenCounter:
    """The vocabulary of Qwen models, as their own package ships it; the pattern is that of their tokenizer."""
    package = importlib.util.find_spec("dashscope")
    assert package is not None
    assert package.origin is not None
    ranks = load_tiktoken_bpe(str(Path(package.origin).parent / "resources" / "qwen.tiktoken"))
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    return TiktokenCounter(tiktoken.Encoding("qwen", pat_str=pattern, mergeable_ranks=ranks, special_tokens={}))


COUNTERS: list[TokenCounter] = [TiktokenCounter(), qwen(), ByteCounter()]


def check(text: str, size: int, overlap: int, counter: TokenCounter) -> list[Chunk]:
    chunks = chunk_text(text, size, overlap, counter=counter)
    borders = {0} | {match.end() for match in regex.finditer(r"\X", text)}
    reached = 0
    for chunk in chunks:
        assert chunk.text == text[chunk.start : chunk.end]
        assert chunk.tokens == counter.count(chunk.text) <= size
        assert chunk.start <= reached < chunk.end
        assert counter.count(text[chunk.start : reached]) <= overlap
        assert {chunk.start, chunk.end} <= borders
        reached = chunk.end
    assert reached == len(text)
    assert chunks == chunk_text(text, size, overlap, counter=counter)
    return chunks


@pytest.mark.parametrize("counter", COUNTERS, ids=["cl100k", "qwen", "bytes"])
@given(text=TEXTS, size=st.integers(40, 120), overlap=st.integers(0, 30))
def test_the_contract_holds_for_any_text(counter: TokenCounter, text: str, size: int, overlap: int) -> None:
    check(text.encode("utf-8", "ignore").decode(), size, overlap, counter)


PROSE = (
    "The keeper of the lighthouse wrote down every ship that passed. On clear days there were many; in winter, few. "
    "He knew most of them by their lights, and some by the sound of their engines alone.\n"
    "Nobody asked him for his book. He kept it all the same, year after year, in a small and careful hand.\n\n"
) * 40


def test_chunks_of_prose_are_full_and_end_with_sentences() -> None:
    chunks = check(PROSE, 200, 0, default_counter())
    assert sum(chunk.tokens for chunk in chunks[:-1]) / len(chunks[:-1]) >= 180
    assert all(chunk.text.rstrip().endswith((".", ";", ",")) for chunk in chunks)


def test_overlap_comes_near_to_what_was_asked_for() -> None:
    chunks = check(PROSE, 200, 40, default_counter())
    overlaps = [default_counter().count(PROSE[b.start : a.end]) for a, b in pairwise(chunks)]
    assert sum(overlaps) / len(overlaps) >= 32


def test_text_without_any_space_is_cut_in_linear_time() -> None:
    """Measured in characters that were counted, since time says nothing on a busy machine."""

    class ProgressMeter(ByteCounter):
        read = 0

        def count(self, text: str) -> int:
            self.read += len(text)
            return super().count(text)

    def work(length: int) -> int:
        meter = ProgressMeter()
        chunk_text("x" * length, 500, counter=meter)
        return meter.read

    assert work(800_000) < 8.5 * work(100_000) < 8.5 * 10 * 100_000


def test_a_character_larger_than_a_chunk_is_an_error() -> None:
    with pytest.raises(ChunkingError, match="at position 0 alone has more than 2 tokens"):
        chunk_text(FAMILY, 2)


def test_nothing_to_cut_gives_no_chunks() -> None:
    assert chunk_text("", 10) == []


@pytest.mark.parametrize(("size", "overlap"), [(0, 0), (10, 10), (10, 11), (10, -1), ("10", 0), (10, "1"), (True, 0)])
def test_impossible_sizes_are_refused(size: Any, overlap: Any) -> None:
    with pytest.raises(ConfigurationError):
        chunk_text("text", size, overlap)
    with pytest.raises(ConfigurationError, match="must be a string"):
        chunk_text(b"text", 10)  # type: ignore[arg-type] # refused


def test_special_tokens_in_a_text_are_text() -> None:
    assert default_counter().count("<|endoftext|>") > 1


def test_messages_count_with_room_for_the_template() -> None:
    counter = TiktokenCounter()
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "hello world"}, {"type": "image_url"}]},
        {"role": "assistant", "content": None},
    ]
    assert counter.count_messages(messages) == 16 + 8 + 2 + 8
    assert isinstance(counter, TokenCounter)
    assert repr(counter) == "TiktokenCounter('cl100k_base')"


def test_no_vocabulary_is_downloaded_without_being_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match="nothing is downloaded without being asked: give download=True"):
        TiktokenCounter("o200k_base")


def test_an_unknown_vocabulary_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no vocabulary 'klingon'"):
        TiktokenCounter("klingon")


HAMLET = "# One\n\nText of one. " * 3 + "\n\n" + "# Two\n\n" + "Text of two, and more of it. " * 20


def test_a_heading_stays_with_what_follows_it() -> None:
    for size in range(20, 60):
        for chunk in check(HAMLET, size, 0, default_counter()):
            assert not regex.search(r"(?:^|\n)# \w+\s*$", chunk.text), chunk.text


def test_fenced_code_stays_whole_where_it_fits() -> None:
    code = "```python\n" + "".join(f"value_{number} = {number}\n\n" for number in range(8)) + "```\n"
    text = ("Some words before it. " * 6 + "\n\n" + code) * 5
    for size in range(default_counter().count(code) + 10, 200, 7):
        assert sum(chunk.text.count("```") % 2 for chunk in check(text, size, 0, default_counter())) == 0


def test_fences_may_end_their_lines_as_on_windows() -> None:
    code = "```py\r\n" + "".join(f"value_{number} = {number}\r\n\r\n" for number in range(8)) + "```\r\n"
    text = ("Some words before it. " * 6 + "\r\n\r\n" + code) * 5
    assert sum(chunk.text.count("```") % 2 for chunk in check(text, 150, 0, default_counter())) == 0


@pytest.mark.parametrize(
    ("text", "size", "overlap"), [("\U0001f1e9\U0001f1ea" * 4, 20, 10), (f"{FAMILY}I'm " * 3, 24, 9)]
)
def test_an_overlap_begins_between_characters(text: str, size: int, overlap: int) -> None:
    check(text, size, overlap, default_counter())


def test_code_that_is_larger_than_a_chunk_is_cut_between_lines() -> None:
    code = "```python\n" + "".join(f"value_{number} = {number}\n" for number in range(100)) + "```\n"
    chunks = check(code, 100, 0, default_counter())
    assert all(chunk.text.endswith("\n") for chunk in chunks)


@pytest.mark.parametrize(
    "unit", ["x", " ", "\n", "海は静かだった", "\U0001f1eb\U0001f1f7", "z\u0334", "0123456789", "... ", "# H\n\n"]
)
def test_odd_texts_are_cut_in_linear_time(unit: str) -> None:
    """Measured in characters that were counted, since time says nothing on a busy machine."""

    class ProgressMeter(TiktokenCounter):
        read = 0

        def count(self, text: str) -> int:
            self.read += len(text)
            return super().count(text)

    meter = ProgressMeter()
    text = unit * (12_000 // len(unit))
    check(text, 200, 20, meter)
    assert meter.read < 80 * len(text)
