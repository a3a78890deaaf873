"""The JSON value in the text of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tframex.text import strip_thinking

__all__ = ["is_wrapped", "json_in", "not_json"]

_FENCED = re.compile(r"^[ \t]*```[ \t]*\w*[ \t]*\r?\n(.*?)^[ \t]*```", re.DOTALL | re.MULTILINE)
_BEGIN = re.compile(r"[{\[]")
_DECODER = json.JSONDecoder(strict=False)


def json_in(text: str) -> str | None:
    """The part of an answer that is its JSON value; None if there is none, or if it could be one of several.

    Where a server has a grammar, that is the answer. Elsewhere a model writes a thought before it, a fence around it, or a
    sentence before and after it.

    Args:
        text: The answer.
    """
    answer = strip_thinking(text)
    if _is_json(answer):
        return answer
    found = {candidate for candidate in _candidates(answer) if _is_json(candidate)}
    return found.pop() if len(found) == 1 else None


def _candidates(answer: str) -> Iterator[str]:
    fenced = [match[1].strip() for match in _FENCED.finditer(answer)]
    if fenced:
        yield from fenced
        return
    end = 0
    while (begin := _BEGIN.search(answer, end)) is not None:
        try:
            _, end = _DECODER.raw_decode(answer, begin.start())
        except json.JSONDecodeError as exc:
            if exc.pos > begin.end():
                # It has begun as JSON: what is inside it is not the answer.
                return
            end = begin.end()
            continue
        except RecursionError:
            return
        yield answer[begin.start() : end]


def _is_json(text: str) -> bool:
    try:
        _DECODER.decode(text)
    except (ValueError, RecursionError):
        return False
    return True


def is_wrapped(found: str, name: str) -> bool:
    """Whether a JSON text is an object whose only property has this name."""
    value = json.loads(found, strict=False)
    return isinstance(value, dict) and value.keys() == {name}


def not_json(text: str) -> str:
    """Why a text is no JSON value."""
    if not text.strip():
        return "it is empty"
    try:
        json.loads(text)
    except json.JSONDecodeError as exc:
        return f"it is not one JSON value ({exc.msg} at character {exc.pos})"
    except RecursionError:
        return "it is not one JSON value (it is nested too deeply)"
    return "it is not one JSON value"
