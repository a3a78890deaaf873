"""The arguments of a tool: their schema, and how what a model writes becomes values."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_args, get_origin

from tframex.errors import ConfigurationError
from tframex.tools._failures import AskAgain
from tframex.tools._signature import Signature, context_of, signature_of
from tframex.tools._words import arguments_wrong, at, details

__all__ = ["Arguments", "SchemaArguments", "TypedArguments"]

# Their values are names, which may be "title", and examples of values.
_NAMES = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
_VALUES = ("default", "const", "enum", "examples", "example")


class Arguments(ABC):
    """What a tool takes.

    Attributes:
        name: The tool.
        schema: The JSON Schema of the arguments, an object.
    """

    name: str
    schema: dict[str, Any]

    def read(self, text: str) -> dict[str, Any]:
        """The values that a model has written.

        Raises:
            AskAgain: They are not JSON, or do not fit the schema.
        """
        # A tool without arguments is called with no text by some servers.
        return self._read(text if text.strip() else "{}")

    @abstractmethod
    def bind(self, values: Mapping[str, Any], context: object) -> tuple[list[Any], dict[str, Any]]:
        """The arguments to call the function with, by position and by name."""

    @abstractmethod
    def _read(self, text: str) -> dict[str, Any]: ...


class TypedArguments(Arguments):
    """The arguments of a typed function, validated by pydantic.

    Args:
        name: The tool.
        function: The function.
        surrounding: The variables around its definition, for annotations that are text.
        descriptions: What its docstring says of its parameters.

    Raises:
        ConfigurationError: It has parameters that a model cannot fill.
        NameError: An annotation names something that is not defined, or not yet.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Any],
        surrounding: Mapping[str, Any],
        descriptions: Mapping[str, str],
    ) -> None:
        from pydantic import TypeAdapter
        from pydantic.errors import PydanticUserError

        self.name = name
        signature = self._signature = signature_of(function, name, surrounding)
        try:
            stand_in: Any = _stand_in(signature)
            self._adapter = TypeAdapter[dict[str, Any]](stand_in)
            self.schema = without_titles(self._adapter.json_schema())
        except PydanticUserError as exc:
            raise ConfigurationError(
                f"the parameters of the tool {name} have a type that a model cannot write as JSON: "
                f"{exc.message.splitlines()[0]}. Take text, numbers, lists or pydantic models, and make the object in the "
                "function; what does not come from the model can be in ToolContext.deps."
            ) from exc
        properties = self.schema.setdefault("properties", {})
        for parameter in signature.parameters:
            said = descriptions.get(parameter.name) or _remark(parameter.annotation)
            if said and parameter.name in properties:
                properties[parameter.name].setdefault("description", said)

    def bind(self, values: Mapping[str, Any], context: object) -> tuple[list[Any], dict[str, Any]]:
        """The arguments to call the function with, by position and by name."""
        return self._signature.bind(values, context)

    def _read(self, text: str) -> dict[str, Any]:
        from pydantic import ValidationError

        # A list would be taken as arguments without names.
        if text.lstrip()[:1] == "[":
            raise AskAgain(arguments_wrong(self.name, ["they must be a JSON object"]))
        try:
            return self._adapter.validate_json(text)
        except ValidationError as exc:
            errors = exc.errors(include_url=False, include_input=False, include_context=False)
            raise AskAgain(arguments_wrong(self.name, details(errors))) from exc


class SchemaArguments(Arguments):
    """Arguments that a given JSON Schema describes.

    Args:
        name: The tool.
        schema: The schema; by its `$schema`, else of draft 2020-12. References to other documents are not followed.
        function: The function.

    Raises:
        ConfigurationError: It is no JSON Schema of an object.
    """

    def __init__(self, name: str, schema: Mapping[str, Any], function: Callable[..., Any]) -> None:
        self.name = name
        self._context = context_of(function)
        self.schema = dict(schema)
        if self.schema.setdefault("type", "object") != "object":
            raise ConfigurationError(f"the schema of the tool {name} must be that of an object, not {schema['type']!r}")
        self.schema.setdefault("properties", {})
        # Imported for those who need it: it takes 100 ms.
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.validators import validator_for
        from referencing import Registry

        kind = validator_for(self.schema, default=Draft202012Validator)
        try:
            kind.check_schema(self.schema)
        except SchemaError as exc:
            raise ConfigurationError(
                f"the schema of the tool {name} is wrong at {at(exc.absolute_path) or 'its root'}: {exc.message}"
            ) from exc
        # Its own registry: by default a reference would be fetched from the network.
        self._validator = kind(self.schema, registry=Registry())

    def bind(self, values: Mapping[str, Any], context: object) -> tuple[list[Any], dict[str, Any]]:
        """The arguments to call the function with, by position and by name."""
        if self._context is None:
            return [], dict(values)
        if self._context.kind is inspect.Parameter.POSITIONAL_ONLY:
            # Its name is then free for an argument.
            return [context], dict(values)
        return [], {**values, self._context.name: context}

    def _read(self, text: str) -> dict[str, Any]:
        from pydantic_core import from_json
        from referencing.exceptions import Unresolvable

        try:
            values = from_json(text)
        except ValueError as exc:
            raise AskAgain(arguments_wrong(self.name, [f"Invalid JSON: {exc}"])) from exc
        if not isinstance(values, dict):
            raise AskAgain(arguments_wrong(self.name, ["they must be a JSON object"]))
        try:
            problems = self._problems(values)
        except Unresolvable as exc:
            raise ConfigurationError(
                f"the schema of the tool {self.name} refers to {exc.ref}, which is not part of it; references to other "
                "documents are not followed"
            ) from exc
        if problems:
            raise AskAgain(arguments_wrong(self.name, problems))
        return values

    def _problems(self, values: dict[str, Any]) -> list[str]:
        return [
            f"{place}: {error.message}" if (place := at(error.absolute_path)) else error.message
            for error in self._validator.iter_errors(values)
        ]


def _stand_in(signature: Signature) -> Callable[..., dict[str, Any]]:
    """A function with the parameters that the model fills, for pydantic: it returns what it is called with."""

    def stand_in(**values: Any) -> dict[str, Any]:
        return values

    stand_in.__signature__ = inspect.Signature(list(signature.parameters))  # type: ignore[attr-defined] # what inspect reads
    stand_in.__annotations__ = {parameter.name: parameter.annotation for parameter in signature.parameters}
    return stand_in


def _remark(annotation: Any) -> str:
    """The text in `Annotated[int, "how many days"]`."""
    if get_origin(annotation) is not Annotated:
        return ""
    return next((extra for extra in get_args(annotation)[1:] if isinstance(extra, str)), "")


def without_titles(schema: Any, *, names: bool = False) -> Any:
    """A schema without the titles that pydantic makes of the names: they cost tokens and tell a model nothing."""
    if isinstance(schema, list):
        return [without_titles(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: value if key in _VALUES and not names else without_titles(value, names=key in _NAMES and not names)
        for key, value in schema.items()
        if names or key != "title"
    }
