"""The lists in a type whose items can be validated one by one."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec

from tframex.errors import OutputValidationError
from tframex.model._pydantic import adapter_of, lines_of

__all__ = ["item_makers"]


def item_makers(output_type: Any, value: str | None) -> dict[str, Callable[[Any], Any]]:
    """What validates the items of the lists in a type, by the property that the list is.

    Lists of texts are left out: half a text is shown as well.

    Args:
        output_type: The type.
        value: The property around the value, if there is one.
    """
    fields = [(value, output_type)] if value is not None else _fields(output_type)
    return {name: _maker(name, item) for name, found in fields if (item := _item(found)) is not None}


def _item(found: Any) -> Any:
    """The type of a list's items; None for anything else, and for lists of texts."""
    if get_origin(found) is Annotated:
        found = get_args(found)[0]
    if get_origin(found) is not list:
        return None
    (item,) = get_args(found)
    return None if item in (str, Any) or isinstance(item, typing.TypeVar) else item


def _fields(output_type: Any) -> Iterator[tuple[str, Any]]:
    """The properties of an object, with their types."""
    fields = getattr(output_type, "__pydantic_fields__", None)
    if fields is not None:
        for name, field in fields.items():
            alias = field.validation_alias or field.alias or name
            if isinstance(alias, str):
                yield alias, field.annotation
    elif dataclasses.is_dataclass(output_type) or hasattr(output_type, "__total__"):
        try:
            hints = typing.get_type_hints(output_type)
        except (NameError, TypeError):
            return  # pydantic has found what the names mean in the function that the type was made in
        yield from hints.items()


def _maker(name: str, item: Any) -> Callable[[Any], Any]:
    from pydantic import ValidationError

    adapter = adapter_of(item)

    def make(value: Any) -> Any:
        try:
            # As JSON, which a date or a set is read from.
            return adapter.validate_json(msgspec.json.encode(value))
        except ValidationError as exc:
            errors = [f"{name}: {line}" for line in lines_of(exc, None)]
            raise OutputValidationError(
                f"an item of the answer is not of its type: {errors[0]}", errors=errors
            ) from exc

    return make
