"""The JSON value in the text of an answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from tframex.text import strip_thinking

__all__ = ["json_in"]

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
