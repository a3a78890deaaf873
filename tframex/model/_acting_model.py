"""Answers that call tools, for every model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from tframex._types import Messages
from tframex.events import Event
from tframex.exchange import Lookup, hide_values
from tframex.model._acting import act
from tframex.model._tool_ladder import Asked, ToolLadder
from tframex.model.output import Output
from tframex.tasks import Closing

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["ActingModel"]


F = TypeVar("F", bound=Callable[..., Any])


def _listed(method: F) -> F:
    """Let the method take the list of messages as it is at the call; no part of a generator runs before it is read.

    What is in the messages is copied when the request is made: an agent with a long history would pay for a second copy.
    """

    @wraps(method)
    def taking(self: Any, messages: Any, **options: Any) -> Any:
        hide_values(options)
        return method(self, list(messages) if isinstance(messages, list) else messages, **options)

    return cast(F, taking)


class ActingModel:
    """The part of a model that lets it call tools."""

    _ladders: dict[str, ToolLadder] | None = None

    @_listed
    async def act(
        self,
        messages: Messages,
        *,
        tools: Sequence[Mapping[str, Any]],
        choice: str = "auto",
        output: Output[Any] | None = None,
        restart: bool = False,
        shown: bool | None = None,
        room: int = 1,
        certain: bool = False,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """Like `events`, for an answer that may call tools, in whichever way the endpoint takes them.

        `RunFinished.result` is a `Completion` with `tool_calls`, each with its own id; its text is what the model has
        written beside them. Where an endpoint refuses the API's tools, they are described in the prompt and the calls are
        read from the text; which way works is learned once. A call that was cut off at a limit is the last of the calls:
        the `finish_reason` then is `"length"`, and its arguments are not complete JSON. The request is counted with the
        tools, and fits the context window.

        This calls no tool; `ToolAgent` does. An option `tools` of `call` and `events` is passed to the endpoint as it is.

        Args:
            messages: The conversation, with earlier calls and their results as the Chat Completions API has them.
            tools: The definitions of the tools, as the API has them.
            choice: `"auto"`: an answer or calls; `"required"`: calls; `"none"`: an answer; or the name of the tool to call.
            output: The type of an answer that is not calls; the endpoint is asked to keep to it. Validate it all the same.
            restart: As for `events`. In any case, an endpoint that ignores `choice` is asked again in another way: the
                pieces until then are void, as `CallRetried.dropped` reports.
            shown: Whether the pieces arrive as the endpoint sends them, or joined, which costs less. Unless it is given:
                as it sends them, without `restart`.
            room: Tokens that must be left for the answer.
            certain: Where the endpoint does not count tokens, refuse a prompt that might leave less, instead of one that
                probably does.
            **options: Options of the call. With `parallel_tool_calls=False` there is at most one call. A reasoning text is
                separate from the answer, unless `reasoning` says otherwise.

        Raises:
            ConfigurationError: An argument or an option is wrong; nothing was sent.
            ContextLengthError: The prompt leaves less than `room`; nothing was sent.
            ModelError: The answer could not be received, or not completely.
        """
        several = options.pop("parallel_tool_calls", True) is not False
        asked = Asked(tools, choice, several, output)
        model = cast("BaseModel", self)
        ladder = await self._ladder(options.get("model", model.model_id))
        if ladder.learns:
            options.setdefault("reasoning", "separate")
        how: Any = {
            "restart": restart,
            "shown": not restart if shown is None else shown,
            "room": room,
            "certain": certain,
        }
        async with Closing(act(model, ladder, messages, asked, options, **how)) as events:
            async for event in events:
                yield event

    async def _ladder(self, model: str) -> ToolLadder:
        lookup: Lookup | None = getattr(self, "_lookup", None)
        if self._ladders is None:
            self._ladders = {}
        if model not in self._ladders:
            self._ladders[model] = ToolLadder(None if lookup is None else lookup.served_as(model))
        ladder = self._ladders[model]
        if lookup is not None and not ladder.identified:
            await lookup.identify(lookup.served_as(model))
            # If that has failed, the first answer shows it; asking each time would hold up every answer.
            ladder.identified = True
        return ladder
