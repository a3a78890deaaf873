"""Where pydantic is used, and its errors become ours. It is imported when the first type is given."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from tframex.errors import ConfigurationError
from tframex.model._json_schema import wrong_in

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

__all__ = ["SchemaType", "adapter_of", "json_schema_of", "lines_of", "wrapper_of"]

_SHOWN = 20
_OF_A_SCHEMA = "json_schema"


class SchemaType:
    """The type whose values are those that a JSON schema describes, as plain dicts, lists, texts and numbers.

    Args:
        schema: The schema.
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self._validated, core_schema.any_schema())

    def _validated(self, value: Any) -> Any:
        from pydantic_core import PydanticCustomError

        if wrong := list(wrong_in(value, self.schema, self.schema)):
            raise PydanticCustomError(_OF_A_SCHEMA, "{lines}", {"lines": "\n".join(wrong)})
        return value

    def wrapped(self, name: str) -> dict[str, Any]:
        """The schema of an object whose only property is a value of this one."""
        own = {key: value for key, value in self.schema.items() if key not in ("$defs", "definitions", "$schema")}
        around: dict[str, Any] = {key: self.schema[key] for key in ("$defs", "definitions") if key in self.schema}
        return {
            "type": "object",
            "properties": {name: own},
            "required": [name],
            "additionalProperties": False,
            **around,
        }


def adapter_of(output_type: Any) -> TypeAdapter[Any]:
    """What validates values of a type.

    Raises:
        ConfigurationError: pydantic knows no such type.
    """
    from pydantic import PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(_annotated(output_type))
    except (PydanticUserError, NameError, TypeError) as exc:
        raise _no_type(output_type, exc) from exc


def json_schema_of(adapter: TypeAdapter[Any], output_type: Any) -> dict[str, Any]:
    """The JSON schema of what it validates.

    Raises:
        ConfigurationError: JSON cannot hold such values.
    """
    from pydantic import PydanticUserError

    try:
        return adapter.json_schema(by_alias=True)
    except (PydanticUserError, KeyError) as exc:
        raise _no_type(output_type, exc) from exc


def wrapper_of(output_type: Any, name: str) -> TypeAdapter[Any]:
    """What validates an object whose only property is a value of the type."""
    from pydantic import create_model

    fields: dict[str, Any] = {name: (_annotated(output_type), ...)}
    return adapter_of(create_model("Answer", **fields))


def lines_of(error: ValidationError, outer: str | None) -> list[str]:
    """What pydantic found, one line each: where, then what; `outer` is the property around the value, if there is one."""
    lines = []
    for found in error.errors(include_url=False, include_context=False, include_input=False):
        if found["type"] == _OF_A_SCHEMA:
            lines += found["msg"].split("\n")
            continue
        where = [str(part) for part in found["loc"]]
        if where[:1] == [outer] and len(where) > 1:
            where = where[1:]
        lines.append(f"{'.'.join(where)}: {found['msg']}" if where else found["msg"])
    left = len(lines) - _SHOWN
    return lines if left <= 0 else [*lines[:_SHOWN], f"and {left} more"]


def _annotated(output_type: Any) -> Any:
    return Annotated[Any, output_type] if isinstance(output_type, SchemaType) else output_type


def _no_type(output_type: Any, exc: Exception) -> ConfigurationError:
    said = str(exc).partition("\n")[0]
    return ConfigurationError(
        f"output_type must be a type whose values JSON can hold (a pydantic model, a dataclass, a TypedDict, an Enum, "
        f"list[...], int, ...), not {output_type!r}: {said}"
    )
