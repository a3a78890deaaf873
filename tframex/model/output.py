"""The type that an answer has."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

from tframex.errors import OutputValidationError
from tframex.model._answer_json import is_wrapped, json_in, not_json
from tframex.model._json_schema import check_schema
from tframex.model._output_items import item_makers
from tframex.model._output_name import name_of, sent_name
from tframex.model._output_schema import SentSchema, sent_schema
from tframex.model._pydantic import SchemaType, adapter_of, json_schema_of, lines_of, wrapper_of

if TYPE_CHECKING:
    from pydantic import TypeAdapter

__all__ = ["Output"]

T = TypeVar("T")
U = TypeVar("U")

# The only property of the object around a value that is none itself.
_VALUE = "value"


class Output(Generic[T]):
    """A type that answers have: its JSON schema for the server, and the validation of what is received.

    Wherever there is an `output_type`, a plain type does. An `Output` is for what a type does not say.

    Values that are no objects (a list, a number, an `Enum`, a `Literal`, a union) are sent inside an object as
    `{"value": ...}`: some grammars take only objects, and a closing brace shows that a number is complete.

    Args:
        output_type: What pydantic can validate and JSON can hold: a pydantic model, a dataclass, a `TypedDict`, an `Enum`,
            a `Literal`, `list[...]`, a union, `int`, ...
        name: What the model is told that it is called; the type's name by default.
        describe: Whether the prompt shows the schema. None: where the server does not show it to the model by itself, since
            a grammar alone only hinders a model from writing something else.

    Attributes:
        output_type: The type.
        name: The name.
        schema: The JSON schema as it is sent. Constraints that grammars refuse are not in it.
        strict: Whether the schema is all that OpenAI's `strict` asks for.
        notes: The constraints that are only checked in the answer, one line each.
        wrapped: Whether the value is sent inside an object.

    Raises:
        ConfigurationError: It is not a type that pydantic can validate, or JSON cannot hold its values.
    """

    @overload
    def __init__(
        self: Output[T], output_type: type[T], *, name: str | None = None, describe: bool | None = None
    ) -> None: ...
    @overload
    def __init__(
        self: Output[Any], output_type: Any, *, name: str | None = None, describe: bool | None = None
    ) -> None: ...
    def __init__(self, output_type: Any, *, name: str | None = None, describe: bool | None = None) -> None:
        self.output_type = output_type
        self.describe = describe
        own = output_type if isinstance(output_type, SchemaType) else None
        self._adapter: TypeAdapter[Any] = adapter_of(output_type)
        schema = json_schema_of(self._adapter, output_type) if own is None else own.schema
        # What is optional in a schema of the user's stays so.
        sent = sent_schema(schema, closed=own is None)
        self._choices = bool({"enum", "const"} & sent.schema.keys())
        self.wrapped = sent.schema.get("type") != "object"
        self._received = self._adapter
        if self.wrapped:
            self._received = wrapper_of(output_type, _VALUE)
            schema = json_schema_of(self._received, output_type) if own is None else own.wrapped(_VALUE)
            sent = sent_schema(schema, closed=own is None)
        self._closed = own is None
        self.name = sent_name(name or name_of(output_type))
        self._original = schema
        self._makers: dict[str, Callable[[Any], Any]] | None = None
        self.schema, self.strict, self.notes = sent.schema, sent.strict, sent.notes

    @classmethod
    def from_schema(
        cls, schema: Mapping[str, Any], *, name: str | None = None, describe: bool | None = None
    ) -> Output[Any]:
        """The output of a JSON schema (2020-12, or an earlier draft): its values are plain dicts, lists, texts and numbers.

        Formats (`"format": "date"`) are told to the model, and not checked.

        Args:
            schema: The schema; references lead to somewhere in it.
            name: What the model is told that it is called; its title by default.
            describe: As for the constructor.

        Raises:
            ConfigurationError: It is no schema, or has keywords that are not supported: references to elsewhere,
                `unevaluatedProperties`, ...
        """
        checked = check_schema(schema)
        return cls(SchemaType(checked), name=name or str(checked.get("title") or "answer"), describe=describe)

    @overload
    @staticmethod
    def of(output_type: type[U] | Output[U]) -> Output[U]: ...
    @overload
    @staticmethod
    def of(output_type: Any) -> Output[Any]: ...
    @staticmethod
    def of(output_type: Any) -> Output[Any]:
        """The output of a type; one of these is returned as it is.

        Args:
            output_type: A type, or an `Output`.

        Raises:
            ConfigurationError: As for the constructor.
        """
        if isinstance(output_type, Output):
            return output_type
        kept: Any = _kept
        try:
            return cast("Output[Any]", kept(output_type))
        except TypeError:
            return Output(output_type)  # it cannot be hashed: an `Annotated` with a list, say

    def sent(self, without: Iterable[str] = ()) -> SentSchema:
        """The schema without further keywords, which an endpoint has refused.

        Args:
            without: The keywords.
        """
        left_out = frozenset(without)
        if not left_out:
            return SentSchema(self.schema, self.strict, self.notes)
        return sent_schema(self._original, without=left_out, closed=self._closed)

    def parse(self, text: str) -> T:
        """The value in an answer: its JSON, also after a thought, in a Markdown fence or between sentences.

        Args:
            text: The answer.

        Raises:
            OutputValidationError: There is no JSON value in it, or one that does not fit the type.
        """
        found = json_in(text)
        if found is None and self._choices:
            # A model without a grammar writes the word alone.
            found = json.dumps(text.strip())
        if found is None:
            raise self._error(text, [not_json(text)], None)
        return self._validated(text, found)

    def _validated(self, text: str, found: str) -> T:
        from pydantic import ValidationError

        try:
            value = self._received.validate_json(found)
        except ValidationError as exc:
            if self.wrapped and not is_wrapped(found, _VALUE):
                # Without a grammar a model also writes the value alone.
                return cast(T, self._alone(text, found))
            raise self._error(text, lines_of(exc, _VALUE if self.wrapped else None), exc) from exc
        return cast(T, getattr(value, _VALUE) if self.wrapped else value)

    def _alone(self, text: str, found: str) -> Any:
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(found)
        except ValidationError as exc:
            raise self._error(text, lines_of(exc, None), exc) from exc

    def item_makers(self) -> dict[str, Callable[[Any], Any]]:
        """What validates the items of the lists that the value, or one of its fields, is: each when it is complete."""
        if self._makers is None:
            self._makers = item_makers(self.output_type, _VALUE if self.wrapped else None)
        return self._makers

    def dump(self, value: T) -> Any:
        """A value of the type as JSON holds it: dicts, lists, texts, numbers.

        Args:
            value: The value.
        """
        return self._adapter.dump_python(value, mode="json", by_alias=True)

    def write(self, value: T) -> str:
        """A value of the type as JSON text.

        Args:
            value: The value.
        """
        return self._adapter.dump_json(value, indent=2, by_alias=True).decode()

    def key(self, value: T) -> str:
        """A text that equal values have in common: a text itself, the JSON of anything else.

        Args:
            value: The value.
        """
        dumped = self.dump(value)
        return dumped if isinstance(dumped, str) else json.dumps(dumped, ensure_ascii=False, sort_keys=True)

    def load(self, value: Any) -> T:
        """The value that `dump` has returned this for.

        Args:
            value: What it returned.

        Raises:
            OutputValidationError: It does not fit the type.
        """
        text = json.dumps(value, ensure_ascii=False)
        return cast(T, self._alone(text, text))

    def instructions(self, schema: Mapping[str, Any] | None = None) -> str:
        """What tells a model in the prompt how to answer.

        Args:
            schema: The schema to show; by default the one of this output.
        """
        shown = json.dumps(self.schema if schema is None else schema, ensure_ascii=False, separators=(",", ":"))
        return f"Answer with JSON alone, one value that fits this JSON schema:\n{shown}"

    def _error(self, text: str, errors: list[str], cause: Exception | None) -> OutputValidationError:
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return OutputValidationError(
            f"the answer is not of type {self.name}: {errors[0]}{more}", text=text, errors=errors
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_again, (type(self), self.output_type, self.name, self.describe)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name})"


@lru_cache(maxsize=256)
def _kept(output_type: Any) -> Output[Any]:
    return Output(output_type)


def _made_again(cls: type[Output[Any]], output_type: Any, name: str, describe: bool | None) -> Output[Any]:
    return cls(output_type, name=name, describe=describe)
