"""One answer of a typed call: what arrives, whether it runs on, what it is worth in the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tframex.completion import Completion
from tframex.errors import OutputValidationError
from tframex.events import CallResumed, CallRetried, Event, OutputPiece, ReasoningPiece, RunFinished, TextPiece
from tframex.model._output_growth import OutputGrowth
from tframex.model.output import Output

if TYPE_CHECKING:
    from tframex.model._typed_request import TypedRequest

__all__ = ["TypedAnswer"]


class TypedAnswer:
    """Takes in the events of a call.

    Args:
        output: The type.
        items: Whether partial values are wanted.

    Attributes:
        completion: What the call returned; None while it has not ended.
        hopeless: Whether asking again would end in the same way.
        resumed: Whether it broke off and was continued, without its grammar.
        ran_on: Whether it was stopped, since it ran on in white space or text.
        tokens: How many tokens have arrived.
        retries: How often it was sent again.
        resumes: How often it was continued.
    """

    def __init__(self, output: Output[Any], *, items: bool) -> None:
        self.completion: Completion | None = None
        self.hopeless = self.ran_on = self.resumed = False
        self.tokens = self.retries = self.resumes = 0
        self._output = output
        self._items = items
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self._wrong: OutputValidationError | None = None
        self._growth = OutputGrowth(output, items=items)

    @property
    def text(self) -> str:
        """What has arrived."""
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        """What has arrived of a separate thought."""
        return "".join(self._thoughts)

    @property
    def over(self) -> bool:
        """Whether to read no further."""
        return self.ran_on or self._wrong is not None

    def take(self, events: Sequence[Event]) -> list[Event]:
        """Take in what a read returned, and return what is passed on."""
        passed: list[Event] = []
        grown = False
        for event in events:
            if isinstance(event, TextPiece):
                self._texts.append(event.text)
                self.tokens += event.tokens
                self._growth.feed(event.text)
                grown = True
            elif isinstance(event, ReasoningPiece):
                self._thoughts.append(event.text)
                self.tokens += 1
            elif isinstance(event, RunFinished):
                self.completion = event.result
                continue
            elif isinstance(event, CallRetried):
                self.retries += 1
                if event.dropped:
                    self._texts.clear()
                    self._thoughts.clear()
                    self._growth = OutputGrowth(self._output, items=self._items)
                    self.resumed = False
            elif isinstance(event, CallResumed):
                self.resumes += 1
                self.resumed = True
            passed.append(event)
        if grown and self._items:
            passed += self._news()
        # Where it has ended by itself, that says more than we would.
        self.ran_on = grown and self.completion is None and self._growth.runs_on(free=self.resumed)
        return passed

    def _news(self) -> list[OutputPiece]:
        try:
            news = self._growth.news()
        except OutputValidationError as error:
            self._wrong = error
            return []
        return [] if news is None else [OutputPiece(*news)]

    def value(self, completion: Completion, request: TypedRequest) -> Any:
        """The value of the complete answer.

        Raises:
            OutputValidationError: It is not of the type, or not complete.
        """
        text, reason = completion.text, completion.finish_reason
        if completion.choices[0].refusal:
            raise self._hopeless("the model refused to answer", completion.choices[0].refusal)
        if reason == "length" and self.resumed:
            why = "it broke off, and its continuation did not end"
            raise OutputValidationError(
                f"the answer is not of type {self._output.name}: {why}", text=text, errors=[why]
            )
        if reason == "length":
            raise self._hopeless(f"the answer was cut off at {request.limit(completion)}", text)
        if reason == "content_filter":
            raise self._hopeless("the answer was cut off by the endpoint's content filter", text)
        if completion.truncated:
            why = completion.warnings[0]
            raise OutputValidationError(
                f"the answer is not of type {self._output.name}: {why}", text=text, errors=[why]
            )
        if self._wrong is not None:
            error = self._wrong
            raise OutputValidationError(error.args[0], text=text, errors=error.errors)
        if self.ran_on and not self._growth.closed:
            why = "it ran on in white space or digits instead of ending"
            if self.resumed:
                why = "it broke off, and its continuation was another text"
            raise OutputValidationError(
                f"the answer is not of type {self._output.name}: {why}", text=text, errors=[why]
            )
        return self._output.parse(text)

    def _hopeless(self, why: str, text: str) -> OutputValidationError:
        self.hopeless = True
        return OutputValidationError(why, text=text, errors=[why])
