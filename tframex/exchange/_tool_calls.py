"""Tool calls, put together from their pieces."""

from __future__ import annotations

from tframex.completion import ToolCall
from tframex.exchange._wire import ToolCallDelta

__all__ = ["ToolCalls"]


class _Growing:
    """A call whose pieces are still arriving."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        # Joined at the end: joining at every piece would take seconds for 400 kB.
        self.arguments: list[str] = []


class ToolCalls:
    """The calls of one answer."""

    def __init__(self) -> None:
        self._calls: dict[int, _Growing] = {}
        self._positions: dict[int, int] = {}

    def add(self, piece: ToolCallDelta) -> ToolCall:
        """Take a piece in, and return it with the position of its call."""
        function = piece.function
        id_, name = piece.id or "", (function.name if function else None) or ""
        position = self._position(piece.index, id_, name)
        call = self._calls.get(position)
        if call is None:
            call = self._calls[position] = _Growing()
        call.id = call.id or id_
        call.name = call.name or name
        arguments = (function.arguments if function else None) or ""
        call.arguments.append(arguments)
        return ToolCall(position, id_, name, arguments)

    def _position(self, index: int, id_: str, name: str) -> int:
        """The position of the call among the others.

        Some servers send index 0 for all parallel calls, which then differ by their ids. An older vLLM sends another id
        with each piece, but the name only with the first.
        """
        position = self._positions.get(index)
        if position is not None:
            known = self._calls[position]
            if not (id_ and name and known.id and known.name and id_ != known.id):
                return position
        position = max(self._calls) + 1 if position is not None or index in self._calls else index
        self._positions[index] = position
        return position

    def complete(self) -> tuple[ToolCall, ...]:
        """The calls, in the order of their positions."""
        return tuple(
            ToolCall(position, call.id, call.name, "".join(call.arguments))
            for position, call in sorted(self._calls.items())
        )
