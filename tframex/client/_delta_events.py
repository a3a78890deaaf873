"""The delta events of the Responses API, made fast: nearly all events of a stream are such."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import Any, get_args, get_origin

import msgspec
from msgspec.structs import asdict
from openai.types.responses import ResponseStreamEvent, ResponseTextDeltaEvent
from pydantic import BaseModel

from tframex.client._slots import new_object, set_extra, set_fields, set_names, set_private

__all__ = ["KINDS", "TEXT", "decode_deltas", "make_delta"]

# OpenAI adds it to each delta, to hide the length of the text; the official types do not declare it.
_PADDING = "obfuscation"


def _fields(kind: type[BaseModel]) -> list[tuple[str, Any]] | None:
    """What the JSON of such an event must have for the fast way; None if there is no fast way."""
    *names, last = kind.model_fields
    if last != "type" or _PADDING in names or not {"delta", "sequence_number"} <= {*names}:
        return None
    fields: list[tuple[str, Any]] = []
    for name in names:
        annotation = kind.model_fields[name].annotation
        if annotation in (int, str):
            fields.append((name, annotation))
        elif get_origin(annotation) is list:
            fields.append((name, tuple[()]))  # an empty one; what has log probabilities goes the long way
        else:
            return None
    return fields


def _maker(kind: type[BaseModel], tag: str, names: list[str], lists: list[str]) -> Callable[[Any], BaseModel]:
    """Makes the official object of a decoded event, as validation would."""
    without, padded = {*names, "type"}, {*names, "type", _PADDING}

    def make(event: Any) -> BaseModel:
        fields = asdict(event)
        padding = fields.pop(_PADDING)
        fields["type"] = tag
        for name in lists:
            fields[name] = []
        made: BaseModel = new_object(kind)
        set_fields(made, fields)
        if padding is msgspec.UNSET:
            set_names(made, without.copy())
            set_extra(made, {})
        else:
            set_names(made, padded.copy())
            set_extra(made, {_PADDING: padding})
        set_private(made, None)
        return made

    return make


_MAKERS: dict[type, Callable[[Any], BaseModel]] = {}
KINDS: dict[str, type[BaseModel]] = {}
"""The official classes of deltas, by the type of the event."""
TEXT: type = type(None)
"""The class of decoded events that are text of the output."""

# Those of the installed version of the official client: they have become more, and will again.
for _kind in get_args(get_args(ResponseStreamEvent)[0]):
    _tags = get_args(_kind.model_fields["type"].annotation)
    if "delta" in _kind.model_fields:
        # The official client defers building validators until they are first used.
        _kind.model_rebuild()
        KINDS.update(dict.fromkeys(_tags, _kind))
    if len(_tags) == 1 and (_found := _fields(_kind)) is not None:
        _struct = msgspec.defstruct(
            _kind.__name__,
            [*_found, (_PADDING, str | msgspec.UnsetType, msgspec.UNSET)],
            tag_field="type",
            tag=_tags[0],
            forbid_unknown_fields=True,
            gc=False,
        )
        _lists = [name for name, annotation in _found if annotation not in (int, str)]
        _MAKERS[_struct] = _maker(_kind, _tags[0], [name for name, _ in _found], _lists)
        if _kind is ResponseTextDeltaEvent:
            TEXT = _struct

_union: Any = reduce(or_, _MAKERS)
_decode_lines = msgspec.json.Decoder(_union).decode_lines


def decode_deltas(lines: bytes) -> list[Any] | None:
    """Events that are all deltas, a line for each; None if one of them is anything else."""
    try:
        found: list[Any] = _decode_lines(lines)
    except msgspec.MsgspecError:
        return None
    return found


def make_delta(event: Any) -> BaseModel:
    """The official object of a decoded event."""
    return _MAKERS[type(event)](event)
