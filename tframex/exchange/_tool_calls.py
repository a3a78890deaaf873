"""Tool calls, put together from their pieces."""

from __future__ import annotations

from tframex.completion import ToolCall
from tframex.exchange._wire import ToolCallDelta

__all__ = ["ToolCalls"]


class _Growing:
    """A call of which pieces arrive."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        # Joined at the end: at every piece, 400 kB would take seconds.
        self.arguments: list[str] = []


class ToolCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, _Growing] = {}
        self._places: dict[int, int] = {}

    def add(self, piece: ToolCallDelta) -> ToolCall:
        """Take a piece in, and return it with the place of its call."""
        function = piece.function
        id_, name = piece.id or "", (function.name if function else None) or ""
        place = self._place(piece.index, id_, name)
        call = self._calls.get(place)
        if call is None:
            call = self._calls[place] = _Growing()
        call.id = call.id or id_
        call.name = call.name or name
        arguments = (function.arguments if function else None) or ""
        call.arguments.append(arguments)
        return ToolCall(place, id_, name, arguments)

    def _place(self, index: int, id_: str, name: str) -> int:
        """Where the call is among the others.

        Some servers say index 0 for all parallel calls, which then differ by their ids. An older vLLM sends another id
        with each piece, but the name only with the first.
        """
        place = self._places.get(index)
        if place is not None:
            known = self._calls[place]
            if not (id_ and name and known.id and known.name and id_ != known.id):
                return place
        place = max(self._calls) + 1 if place is not None or index in self._calls else index
        self._places[index] = place
        return place

    def complete(self) -> tuple[ToolCall, ...]:
        """The calls, in the order of their places."""
        return tuple(
            ToolCall(place, call.id, call.name, "".join(call.arguments)) for place, call in sorted(self._calls.items())
        )
