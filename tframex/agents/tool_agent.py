"""An agent that calls tools."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

from tframex._checks import check_count
from tframex._types import Message, Messages
from tframex.agents._output_pieces import with_output_pieces
from tframex.agents._tool_history import ToolHistory
from tframex.agents._tool_limits import Limits
from tframex.agents._tool_results import Reader
from tframex.agents._tool_run import ToolRun
from tframex.agents.base import BaseAgent, check_prompt
from tframex.completion import Completion
from tframex.errors import ConfigurationError
from tframex.events import Event, RunFinished, TextPiece
from tframex.exchange import hide_values
from tframex.model import BaseModel, Output
from tframex.tasks import Closing
from tframex.tools import CallRecorder, RunJournal, Tool, Toolset

__all__ = ["ToolAgent"]

T = TypeVar("T")


class ToolAgent(BaseAgent):
    """Lets the model call tools until it can answer.

    It works on every server: where an endpoint takes no tools (a vLLM without tool flags, llama.cpp, an unknown one), they
    are described in the prompt and the calls are read from the text (see `BaseModel.act`). A tool is a typed function, or
    what `tframex.tool` makes of one. The calls of one answer run concurrently; a tool that is unknown, or called with wrong
    arguments, is not an error but a result that tells the model so.

    No request exceeds the window: a result that is too long for it is cut, with a note that says so, or read by `reader`,
    and older results are shortened before the window is full.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.
        tools: Typed functions, tools and toolsets, such as `MCPTools`; or one `Toolset`.
        system_prompt: Instructions that are sent before every conversation, as a system message.
        output_type: The type of the answer, if not text: `run` then returns a value of it.
        max_steps: How many answers of the model a run may take, the last one included.
        max_tool_calls: How many calls of tools it may take; None is no limit.
        max_run_tokens: How many tokens all requests and answers of a run may take together, as the endpoint reports them:
            no further request is sent when they are used up. None is no limit.
        max_seconds: How many seconds a run may take; None is no limit.
        max_output_retries: How often the model is told to correct an answer that is not of `output_type`.
        reader: Reads a result that is too long with the question in mind: a `MapReduceSystem`, a `ChainOfAgents`, or
            anything else with such a `run`. Without one, such a result is cut.

    Raises:
        ConfigurationError: An argument is wrong.
    """

    def __init__(
        self,
        agent_id: str,
        model: BaseModel,
        tools: Toolset | Iterable[Tool[..., Any] | Callable[..., Any] | Toolset],
        *,
        system_prompt: str | None = None,
        output_type: Any = None,
        max_steps: int = 20,
        max_tool_calls: int | None = None,
        max_run_tokens: int | None = None,
        max_seconds: float | None = None,
        max_output_retries: int = 2,
        reader: Reader | None = None,
    ) -> None:
        super().__init__(agent_id, model)
        self.tools = tools if isinstance(tools, Toolset) else Toolset(tools)
        if not len(self.tools):
            raise ConfigurationError(f"{agent_id!r} has no tools; an agent without tools is a BasicAgent")
        if reader is not None and not callable(getattr(reader, "run", None)):
            raise ConfigurationError(f"reader must have a method run(question, text), not {type(reader).__name__}")
        self.system_prompt = system_prompt
        self.output_type = output_type
        self.limits = Limits(max_steps, max_tool_calls, max_run_tokens, max_seconds)
        self.max_output_retries = max_output_retries
        self.reader = reader

    async def events(
        self,
        prompt: str,
        *,
        restart: bool = False,
        shown: bool | None = None,
        history: list[Message] | None = None,
        deps: Any = None,
        output_type: Any = None,
        tool_choice: str | Sequence[str] = "auto",
        checkpoint: str | Path | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens until the answer is complete; `run`, `stream`, `complete` and `stream_to_file` are derived from it.

        For each answer of the model `CallStarted`, its pieces and `StepFinished`, whose `completion` has the calls; for
        each call `ToolStarted` and `ToolResult`; at the end `RunFinished`, whose result is the `Completion`. Its text is
        the last answer's; what the model writes before it calls a tool is in the pieces of that step alone.

        Args:
            prompt: What to do.
            restart: An answer that breaks off and cannot be continued may start over. The pieces received until then are
                void, which `CallRetried.dropped` reports. For callers that do not show the pieces.
            shown: Whether answers are shown while they grow: their pieces come as the endpoint sends them, and with
                `output_type` there is an `OutputPiece` whenever the value has grown. Unless it is given: without `restart`.
            history: The conversation before the prompt, as the Chat Completions API has it. What happens is added to it,
                and it can be sent again at any time, also after an error or when the run was cancelled.
            deps: What the tools get as `ToolContext.deps`.
            output_type: The type of the answer, instead of the agent's.
            tool_choice: What the first answer has to be: `"auto"` (calls or an answer), `"required"` (calls), `"none"` (an
                answer), or the name of the tool to call. Or a list for the first answers, such as `["weather", "none"]`.
                Those after it are `"auto"`.
            checkpoint: A file in which answers and calls are written down. The same run again continues, however it has
                ended: what is in the file is not asked again, and no finished call runs again. It is kept at the end. A run
                with a `history` continues with the history as it was at its beginning.
            **options: Options for the model, or `max_output_retries` instead of the agent's.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            RunLimitError: The run has reached one of its limits; `history` is on the error.
            ToolError: A tool has raised an error that is none for the model.
            ApprovalNeeded: A call waits for approval (`Tool.approve`).
            UncertainCallError: An earlier run was killed in the middle of a call (`Tool.on_uncertain`).
            CheckpointError: The checkpoint is damaged, belongs to another run, or is in use.
            OutputValidationError: The answer is not of the type, also after `max_output_retries` corrections.
            ContextLengthError: The conversation does not fit into the window, even with all results shortened.
            ModelError: The model could not answer, or not completely.
        """
        hide_values(options)
        kind = self._kind(output_type)
        check_prompt(prompt)
        retries = options.pop("max_output_retries", self.max_output_retries)
        check_count("max_output_retries", retries, least=0)
        shown = not restart if shown is None else shown
        output: Output[Any] | None = None if kind is None else Output.of(kind)
        asked = [*history, {"role": "user", "content": prompt}] if history else prompt
        async with CallRecorder() if checkpoint is None else RunJournal(checkpoint, self.agent_id, asked) as recorder:
            conversation = ToolHistory(self.system_prompt, [] if history is None else history)
            conversation.asked(prompt)
            run = ToolRun(
                agent_id=self.agent_id,
                model=self.model,
                tools=self.tools,
                definitions=self.tools.definitions(),
                history=conversation,
                prompt=prompt,
                limits=self.limits,
                output=output,
                max_output_retries=retries,
                choices=(tool_choice,) if isinstance(tool_choice, str) else tuple(tool_choice),
                deps=deps,
                reader=self.reader,
                restart=restart,
                shown=shown,
                options=options,
                recorder=recorder,
            )
            happening = run.events()
            if shown and output is not None:
                happening = with_output_pieces(happening, output)
            async with Closing(happening) as events:
                async for event in events:
                    yield event

    @overload
    async def run(self, prompt: str, *, output_type: type[T] | Output[T], **options: Any) -> T: ...
    @overload
    async def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any: ...
    async def run(self, prompt: str, *, output_type: Any = None, **options: Any) -> Any:
        """The answer to `prompt`: text, or a value of `output_type`.

        Args:
            prompt: What to do.
            output_type: The type of the answer, instead of the agent's.
            **options: The keywords of `events`, and options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            RunLimitError: The run has reached one of its limits; `history` is on the error.
            ToolError: A tool has raised an error that is none for the model.
            OutputValidationError: The answer is not of the type, also after `max_output_retries` corrections.
            ModelError: The model could not answer.
        """
        hide_values(options)
        completion = await self.complete(prompt, output_type=output_type, **options)
        return completion.text if self._kind(output_type) is None else completion.output

    async def complete(self, prompt: str, *, output_type: Any = None, **options: Any) -> Completion:
        """The answer to `prompt` as a `Completion`; its usage, retries and resumes are those of all steps together.

        Args:
            prompt: What to do.
            output_type: The type of the answer, instead of the agent's; the value is `Completion.output`.
            **options: The keywords of `events`, and options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            RunLimitError: The run has reached one of its limits; `history` is on the error.
            ToolError: A tool has raised an error that is none for the model.
            OutputValidationError: The answer is not of the type, also after `max_output_retries` corrections.
            ModelError: The model could not answer.
        """
        hide_values(options)
        return await self._result(self.events(prompt, restart=True, output_type=output_type, **options))

    async def stream(self, prompt: str, *, output_type: Any = None, **options: Any) -> AsyncGenerator[Any, None]:
        """The text of the answer when it is complete; or what has arrived of its value, and at last the value.

        Only the end of an answer shows that no call follows: until then its text may be what the model writes before one.
        `events` has the pieces as they arrive. A value grows as in `BasicAgent.stream` where the text of the answer is its
        JSON; on a server whose answers are one JSON action (llama.cpp) it is shown when it is complete.

        Args:
            prompt: What to do.
            output_type: The type of the answer, instead of the agent's.
            **options: The keywords of `events`, and options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            RunLimitError: The run has reached one of its limits; `history` is on the error.
            ToolError: A tool has raised an error that is none for the model.
            ModelError: The model could not answer, or not completely.
        """
        async with Closing(super().stream(prompt, output_type=self._kind(output_type), **options)) as pieces:
            async for piece in pieces:
                yield piece

    def _kind(self, output_type: Any) -> Any:
        """The type of the answer; None: text."""
        kind = output_type or self.output_type
        return None if kind is str else kind

    async def _answer_events(self, prompt: str, **options: Any) -> AsyncGenerator[Event, None]:
        """The events, with the text of the final answer alone, in one piece."""
        if self._kind(options.get("output_type")) is not None:
            options.setdefault("shown", True)
        async with Closing(self.events(prompt, restart=True, **options)) as events:
            async for event in events:
                if isinstance(event, RunFinished) and event.result.text:
                    yield TextPiece(event.result.text)
                if not isinstance(event, TextPiece):
                    yield event

    def _request(self, prompt: str, history: Messages) -> tuple[list[Message], Sequence[dict[str, Any]]]:
        conversation = ToolHistory(self.system_prompt, [*history])
        conversation.asked(prompt)
        return conversation.sent, self.tools.definitions()
