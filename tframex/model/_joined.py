"""Neighbouring pieces of an answer, joined into one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tframex.completion import Delta

__all__ = ["joined"]


def joined(pieces: Sequence[Delta | str]) -> Iterator[Delta]:
    """The pieces with each run of text, or of reasoning, as one. A piece of a tool call remains by itself."""
    texts: list[str] = []
    kind: tuple[bool, int] | None = None
    for piece in pieces:
        if isinstance(piece, str):
            this, text = (False, 0), piece
        elif piece.tool_calls or (piece.content and piece.reasoning):
            if kind is not None:
                yield _made(kind, texts)
                kind = None
            yield piece
            continue
        else:
            this, text = (bool(piece.reasoning), piece.index), piece.reasoning or piece.content
        if this != kind:
            if kind is not None:
                yield _made(kind, texts)
            kind = this
            texts.clear()
        texts.append(text)
    if kind is not None:
        yield _made(kind, texts)


def _made(kind: tuple[bool, int], texts: list[str]) -> Delta:
    thought, index = kind
    text = "".join(texts)
    return Delta("" if thought else text, text if thought else "", (), index, len(texts))
