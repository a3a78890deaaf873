"""What one network read returned, or what follows from the end of an answer."""

from __future__ import annotations

import msgspec

from tframex.completion import Delta
from tframex.exchange._collector import Collector
from tframex.exchange._wire import Chunk, ChunkChoice, ChunkDelta

__all__ = ["Arrival", "ending"]


class Arrival(msgspec.Struct, gc=False):
    """What one network read returned. Its lists are not to be changed: some of them may be one list.

    Attributes:
        pieces: What the reader of the answer gets: `Delta`s, or bare strings for chunks that are nothing but text.
        chunks: The chunks; a chunk that is nothing but text of the only choice is represented by its text.
        data: The JSON of each chunk.
        joined: They continue what an earlier response began, and may have been changed for that.
        texts: The chunks, if all of them are texts.
        silent: It says nothing of the answer, but only that the connection is alive.
    """

    pieces: list[Delta | str] = []
    chunks: list[Chunk | str] = []
    data: list[bytes] = []
    joined: bool = False
    texts: list[str] | None = None
    silent: bool = False

    def followed_by(self, other: Arrival) -> Arrival:
        """This one and the next, as if one read had returned them."""
        both = None if self.texts is None or other.texts is None else self.texts + other.texts
        return Arrival(
            self.pieces + other.pieces,
            self.chunks + other.chunks,
            self.data + other.data,
            self.joined or other.joined,
            both,
        )


def ending(answer: Collector) -> Arrival:
    """The end of an answer that lacks only its finish reason."""
    chunk = Chunk(choices=[ChunkChoice(delta=ChunkDelta(), finish_reason="length")])
    arrival = Arrival([], [chunk], [b"{}"], joined=True)
    answer.note(chunk, arrival.pieces)
    return arrival
