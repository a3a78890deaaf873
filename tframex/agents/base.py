"""What every agent can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio.to_thread

from tframex._types import Messages
from tframex.completion import Choice, Completion, Delta
from tframex.errors import ConfigurationError
from tframex.files import PartialFile
from tframex.model._fit import fitted
from tframex.model.base import BaseModel
from tframex.tasks import Closing

__all__ = ["BaseAgent"]


class BaseAgent(ABC):
    """An actor with one job, done with a model.

    A subclass implements `run`; `stream`, `complete` and `stream_to_file` then give what `run` returns, in one piece. To
    have the answer stream too, subclass `BasicAgent` and say which messages to send.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.

    Raises:
        ConfigurationError: The name is empty, or the model is not a model (or one of `tframex.sync`).
    """

    def __init__(self, agent_id: str, model: BaseModel) -> None:
        check_parts("agent_id", agent_id, model)
        self.agent_id = agent_id
        self.model = model

    @abstractmethod
    async def run(self, prompt: str, **options: Any) -> str:
        """The answer to `prompt`.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer.
        """

    async def stream(self, prompt: str, **options: Any) -> AsyncGenerator[str, None]:
        """The answer to `prompt`, piece by piece.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer, or not wholly.
        """
        async with Closing(self._events(prompt, **options)) as events:
            async for event in events:
                # With n above 1 there are several answers; text can hold only one.
                if isinstance(event, Delta) and event.content and event.index == 0:
                    yield event.content

    async def complete(self, prompt: str, **options: Any) -> Completion:
        """The answer to `prompt` with its usage and how it came about.

        Args:
            prompt: What to do.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer.
        """
        return Completion((Choice(await self.run(prompt, **options)),), model_id=self.model.model_id)

    async def stream_to_file(self, prompt: str, path: str | Path, **options: Any) -> Completion:
        """Write the answer to a file as it arrives.

        It grows in `PATH.partial`, and becomes `path` when it is whole; an older file at `path` stays until then. After
        a failure the partial file stays.

        Args:
            prompt: What to do.
            path: The file; missing folders are made.
            **options: Options for the model.

        Raises:
            ConfigurationError: The prompt is empty or an option is wrong.
            ModelError: The model could not answer, or not wholly.
            OutputError: The file cannot be written.
        """
        with PartialFile(path) as file:
            async with Closing(self._events(prompt, **options)) as events:
                async for event in events:
                    if isinstance(event, Completion):
                        # Waiting for the disk must not hold up the other streams of this loop.
                        await anyio.to_thread.run_sync(file.finish)
                        return event
                    if event.content and event.index == 0:
                        file.write(event.content)
        raise TypeError(f"the events of {type(self).__name__} must end with a Completion")

    async def _events(self, prompt: str, **options: Any) -> AsyncGenerator[Delta | Completion, None]:
        completion = await self.complete(prompt, **options)
        if completion.text:
            yield Delta(completion.text)
        yield completion

    async def _stream_and_aggregate(self, messages: Messages, **options: Any) -> str:
        """Send messages to the model and return the whole text of the answer."""
        return (await self.model.call(messages, **await fitted(self.model, messages, options))).text

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.agent_id!r}, {self.model!r})"


def check_parts(name: str, value: object, model: object) -> None:
    """Refuse an empty name, and whatever is not an asynchronous model."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} must be a non-empty string, not {value!r}")
    if not isinstance(model, BaseModel):
        if type(model).__module__.startswith("tframex.sync"):
            raise ConfigurationError(
                f"{value!r} is asynchronous but its model is synchronous. Take both from the same place: either "
                "tframex.model and tframex.agents, or tframex.sync."
            )
        raise ConfigurationError(
            f"the model of {value!r} must be a tframex.model.BaseModel (such as VLLMModel), not {type(model).__name__}"
        )


def check_prompt(prompt: object, name: str = "prompt") -> str:
    """Refuse an empty prompt."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ConfigurationError(f"{name} must be a non-empty string, not {prompt!r}")
    try:
        prompt.encode()
    except UnicodeEncodeError as exc:
        raise ConfigurationError(
            f"{name} has half of a character at position {exc.start} (a lone surrogate), which cannot be sent; decode the "
            "text it comes from with errors='replace'"
        ) from exc
    return prompt
