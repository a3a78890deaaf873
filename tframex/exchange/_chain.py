"""An exception and all that caused it."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["chain", "describe", "links"]


def chain(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception, its cause, the cause of that, and so on."""
    seen = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def links(exc: BaseException) -> Iterator[BaseException]:
    """Every exception linked to one, itself included: causes, contexts, members of groups."""
    seen: dict[int, BaseException] = {}
    waiting: list[BaseException | None] = [exc]
    while waiting:
        link = waiting.pop()
        if link is not None and id(link) not in seen:
            seen[id(link)] = link
            yield link
            members = getattr(link, "exceptions", ())
            waiting += [link.__cause__, link.__context__]
            waiting += [member for member in members if isinstance(member, BaseException)]


def describe(exc: BaseException) -> str:
    """Describe the deepest link of the chain, which says what really happened; the upper ones say "Connection error."."""
    root = list(chain(exc))[-1]
    text = str(root) or next((str(link) for link in chain(exc) if str(link)), "")
    return f"{type(root).__name__}: {text}" if text else type(root).__name__
