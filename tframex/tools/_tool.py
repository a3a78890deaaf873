"""A function that a model can call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Generic

import anyio

from tframex._checks import check_count
from tframex.errors import ConfigurationError
from tframex.tools._arguments import Arguments, SchemaArguments, TypedArguments
from tframex.tools._calling import call_within
from tframex.tools._context import ToolContext
from tframex.tools._docstring import described
from tframex.tools._result import as_text
from tframex.tools._settings import OnUncertain, checked_name, checked_policy, checked_timeout, in_class
from tframex.tools._signature import surroundings

if TYPE_CHECKING:
    # Parameters that are optional: `Tool` alone is any tool.
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R = TypeVar("R", default=Any)
else:
    from typing import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R")

__all__ = ["Tool"]


class Tool(Generic[P, R]):
    """A typed function that a model can call. Make it with the decorator `tool`; calling it calls the function.

    Args:
        function: The function; a synchronous one runs in a worker thread.
        name: What the model calls it; by default the function's name.
        description: What it does and when to use it; by default what the function's docstring says before its sections.
        parameters: The JSON Schema of the arguments, an object; by default made of the annotations and the docstring.
        timeout: Seconds that a call may take. The model is told when they have passed.
        approve: Whether a person has to approve a call before it runs; or a function of its arguments that says so.
        on_uncertain: What to do where a run was killed in the middle of a call, so that it is unknown whether it has taken
            effect. `"retry"`: call again (it only reads, or may happen twice). `"key"`: call again with the same
            `ToolContext.key`, for a service that does a thing once for each key. A function: look whether it has happened;
            it gets the `ToolContext` and returns the result, or None if it has not. `"ask"`: end the run with an
            `UncertainCallError`, so that a person decides.
        max_result_tokens: The tokens that a result may have; a longer one is cut, with a note that says so.
        strict: The API's `strict`: ask the server to hold the arguments to the schema while they are written. None
            leaves it to what is known of the endpoint.

    Attributes:
        function: The function.
        name: What the model calls it.
        description: What it does, as the model reads it.

    Raises:
        ConfigurationError: The function is none that a model can call, or a setting is wrong.
    """

    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        *,
        name: str | None = None,
        description: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        approve: bool | Callable[..., bool] = False,
        on_uncertain: OnUncertain = "ask",
        max_result_tokens: int | None = None,
        strict: bool | None = None,
    ) -> None:
        if isinstance(function, Tool) or not callable(function):
            raise ConfigurationError(f"a tool must be made of a function, not of {function!r}")
        if inspect.isasyncgenfunction(inspect.unwrap(function)):
            raise ConfigurationError(f"the tool {function!r} is an async generator; return one value, such as a list")
        self.function = function
        self.name = checked_name(name, function)
        text, self._descriptions = described(function)
        self.description = text if description is None else description
        self.timeout = checked_timeout(timeout)
        self.approve = approve
        self.on_uncertain: OnUncertain = checked_policy(on_uncertain)
        if max_result_tokens is not None:
            check_count("max_result_tokens", max_result_tokens, unit="tokens")
        self.max_result_tokens = max_result_tokens
        self.strict = strict
        functools.update_wrapper(self, function, updated=())
        self._schema = parameters
        self._surroundings = surroundings(function)
        self._known: Arguments | None = None
        if not in_class(function):
            # An annotation may name what is defined later: then the first use reads them.
            with suppress(NameError):
                self._known = self._read_annotations()

    @classmethod
    def from_schema(
        cls, name: str, description: str, parameters: Mapping[str, Any], function: Callable[..., Any], **settings: Any
    ) -> Tool[..., Any]:
        """A tool whose arguments a JSON Schema describes, as those of other programs are.

        Args:
            name: What the model calls it.
            description: What it does.
            parameters: The JSON Schema of its arguments, an object. They are validated against it.
            function: Called with the arguments by name, and with the `ToolContext` in a parameter that has this annotation.
            **settings: The other settings of a tool: `timeout`, `approve`, ...

        Raises:
            ConfigurationError: The schema is wrong, or a setting is.
        """
        return Tool(function, name=name, description=description, parameters=parameters, **settings)

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON Schema of the arguments, an object."""
        return self._arguments.schema

    def definition(self) -> dict[str, Any]:
        """The tool as the Chat Completions API takes it."""
        function: dict[str, Any] = {"name": self.name, "description": self.description, "parameters": self.parameters}
        if self.strict is not None:
            function["strict"] = self.strict
        return {"type": "function", "function": function}

    def read(self, arguments: str) -> dict[str, Any]:
        """The arguments that a model has written, validated.

        Args:
            arguments: JSON text.

        Raises:
            AskAgain: They do not fit; the message tells the model why.
        """
        return self._arguments.read(arguments)

    def needs_approval(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a call with these arguments waits for a person.

        Args:
            arguments: As `read` returns them.
        """
        return bool(self.approve(**arguments)) if callable(self.approve) else bool(self.approve)

    async def call(self, arguments: str, context: ToolContext[Any] | None = None) -> str:
        """Validate arguments, call the function, and return its result as the text that the model reads.

        Args:
            arguments: JSON text, as the model wrote it.
            context: What the function is told of the run.

        Raises:
            AskAgain: The arguments do not fit, or the function says so.
            ToolFailure: The time has passed, or the function says so.
            Exception: Whatever else the function raises.
        """
        return await self.run(self.read(arguments), context)

    async def run(
        self,
        arguments: Mapping[str, Any],
        context: ToolContext[Any] | None = None,
        *,
        limiter: anyio.CapacityLimiter | None = None,
    ) -> str:
        """Call the function with arguments that were validated already.

        Args:
            arguments: As `read` returns them.
            context: What the function is told of the run.
            limiter: How many threads may be in use for synchronous functions.

        Raises:
            ToolFailure: The time has passed, or the function says so.
            Exception: Whatever else the function raises.
        """
        positional, named = self._arguments.bind(arguments, context or ToolContext(arguments=arguments))
        function: Callable[..., Any] = self.function
        work = partial(function, *positional, **named)
        return as_text(await call_within(work, self.name, self.timeout, limiter), self.name)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function as it is, without validation."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Tool[..., R]:
        """The tool of one object, where it was defined in a class."""
        if instance is None:
            return self
        bound: Callable[..., R] = self.function.__get__(instance, owner)
        return Tool(
            bound,
            name=self.name,
            description=self.description,
            parameters=self._schema,
            timeout=self.timeout,
            approve=self.approve,
            on_uncertain=self.on_uncertain,
            max_result_tokens=self.max_result_tokens,
            strict=self.strict,
        )

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @property
    def _arguments(self) -> Arguments:
        if self._known is None:
            try:
                self._known = self._read_annotations()
            except NameError as exc:
                raise ConfigurationError(
                    f"an annotation of the tool {self.name} cannot be read ({exc}). Is it imported for type checkers only? "
                    "The model is told the types, so they must exist at run time."
                ) from exc
        return self._known

    def _read_annotations(self) -> Arguments:
        if self._schema is not None:
            return SchemaArguments(self.name, self._schema, self.function)
        return TypedArguments(self.name, self.function, self._surroundings, self._descriptions)
