"""One prompt many times, or many prompts, concurrently: files and samples."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any, Literal

from tframex._checks import check_count, check_messages
from tframex._types import Message, Messages
from tframex.agents import BaseAgent
from tframex.agents.base import check_prompt
from tframex.errors import ConfigurationError
from tframex.events import Event
from tframex.exchange import at_call, hide_values
from tframex.files import make_folder
from tframex.model.base import BaseModel
from tframex.systems._meter import ProgressMeter
from tframex.systems.base import BaseSystem
from tframex.systems.many._merged_events import Emit, merged_events
from tframex.systems.many._sampler import Sampler, reason_of
from tframex.systems.many.samples import Sample, Samples
from tframex.tasks import Closing, Limit, ProgressCallback, map_bounded

__all__ = ["SamplingSystem", "seeds_of", "unbroken", "user"]


class SamplingSystem(BaseSystem):
    """What `MultiCallSystem` does where every answer is wanted; its arguments are those of that class."""

    def __init__(
        self,
        system_id: str,
        model: BaseModel | BaseAgent,
        *,
        max_concurrency: int | Literal["auto"] = "auto",
        warm_prefix: bool = False,
    ) -> None:
        super().__init__(system_id, model)
        if max_concurrency != "auto":
            check_count("max_concurrency", max_concurrency, instead='or "auto"')
        self.max_concurrency = max_concurrency
        self.warm_prefix = warm_prefix
        self._own_limit = None if max_concurrency == "auto" else Limit(max_concurrency)

    async def run(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> dict[str, str]:
        """Send the prompt `num_calls` times and write the answers to `output_dir/base_filename_1.txt` and so on.

        An answer grows in a `.partial` file and gets its name when it is complete. A failed call does not stop the others:
        its value starts with `ERROR:`, what it had received stays in its partial file, and why it failed in an `.error`
        file beside that.

        Args:
            prompt: What to send.
            num_calls: How many times.
            output_dir: The folder for the answers; it is made if it is missing.
            base_filename: How the files' names begin.
            progress: Called after each call, and twice a second.
            **options: Options for the model.

        Returns:
            `{"call_1": path, "call_2": path, ...}`.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            OutputError: The folder cannot be used; nothing was sent.
        """
        hide_values(options)
        samples = await self.complete(prompt, num_calls, output_dir, base_filename, progress=progress, **options)
        return {
            f"call_{sample.index}": str(sample.path) if sample.error is None else reason_of(sample.error)
            for sample in samples
        }

    async def complete(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Samples:
        """As `run`, and return every call with its file, its answer or error, its times and what it used.

        The arguments are those of `run`.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            OutputError: The folder cannot be used; nothing was sent.
        """
        hide_values(options)
        return await self._files(prompt, num_calls, output_dir, base_filename, progress, options)

    async def events(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path = "multi_call_outputs",
        base_filename: str = "output",
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> AsyncGenerator[Event, None]:
        """What happens in all calls of a `complete`, while it happens; `RunFinished.result` is its `Samples`.

        The steps are `"1"`, `"2"`, ...: each emits `CallStarted`, the pieces of its answer, its retries and continuations,
        and `StepFinished` when its file is complete. A call that fails has no `StepFinished`; its error is in the
        `Samples`. Closing the iterator cancels all calls on the server. A slow reader holds the calls up.

        The arguments and errors are those of `complete`.
        """
        hide_values(options)

        async def run(emit: Emit) -> Samples:
            return await self._files(prompt, num_calls, output_dir, base_filename, progress, options, emit)

        async with Closing(merged_events(run)) as events:
            async for event in events:
                yield event

    async def sample(self, prompt: str, n: int, *, progress: ProgressCallback | None = None, **options: Any) -> Samples:
        """Send the prompt `n` times and return the answers, without files.

        Args:
            prompt: What to send.
            n: How many times.
            progress: Called after each call, and twice a second.
            **options: Options for the model; with `seed` the samples are distinct and can be repeated.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
        """
        hide_values(options)
        check_prompt(prompt)
        check_count("n", n)
        return await self._all([user(prompt)] * n, seeds_of(options, n), progress)

    @at_call
    async def map(
        self, prompts: Iterable[str | Messages], *, progress: ProgressCallback | None = None, **options: Any
    ) -> Samples:
        """Send many prompts and return their answers in the same order. `run_file` is for more than memory holds.

        Args:
            prompts: Texts, or conversations as the Chat Completions API takes them.
            progress: Called after each call, and twice a second.
            **options: Options for the model.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
        """
        if isinstance(prompts, str):
            raise ConfigurationError(
                "prompts must be several prompts, not one string; `sample` sends one several times"
            )
        asked = [user(check_prompt(p)) if isinstance(p, str) else check_messages(p) for p in prompts]
        return await self._all(asked, [options] * len(asked), progress)

    @property
    def _limit(self) -> Limit:
        return self._own_limit or self.model.limit

    def _calls(self, total: int, progress: ProgressCallback | None) -> Sampler:
        return self._metered(ProgressMeter(total, progress))

    def _metered(self, meter: ProgressMeter) -> Sampler:
        return Sampler(self.system_id, self.model, meter, limit=self._own_limit, warm_prefix=self.warm_prefix)

    async def _files(
        self,
        prompt: str,
        num_calls: int,
        output_dir: str | Path,
        base_filename: str,
        progress: ProgressCallback | None,
        options: dict[str, Any],
        emit: Emit | None = None,
    ) -> Samples:
        check_prompt(prompt)
        check_count("num_calls", num_calls)
        if not isinstance(base_filename, str) or not base_filename or Path(base_filename).name != base_filename:
            raise ConfigurationError(
                f"base_filename must be the beginning of a file name, not {base_filename!r}; folders go into output_dir"
            )
        folder = make_folder(output_dir)
        paths = [folder / f"{base_filename}_{number}.txt" for number in range(1, num_calls + 1)]
        return await self._all([user(prompt)] * num_calls, seeds_of(options, num_calls), progress, paths, emit)

    async def _all(
        self,
        asked: list[Messages],
        options: list[dict[str, Any]],
        progress: ProgressCallback | None,
        paths: list[Path] | None = None,
        emit: Emit | None = None,
    ) -> Samples:
        calls = self._calls(len(asked), progress)

        async def call(index: int) -> Sample:
            path = paths[index - 1] if paths else None
            return await calls.one(index, asked[index - 1], options[index - 1], path=path, emit=emit)

        async with calls.meter:
            # The limit says how many of them may be in flight; the others wait for it.
            found = await map_bounded(call, range(1, len(asked) + 1), len(asked))
        return unbroken(calls, found)


def unbroken(calls: Sampler, found: list[Sample]) -> Samples:
    """All calls of the run, unless the progress callback has stopped it."""
    samples = calls.samples(found)
    if calls.meter.broken is not None:
        raise samples.stopped(calls.meter.broken)
    return samples


def seeds_of(options: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The options of each call: they get seeds that follow each other, if there is one."""
    seed = options.get("seed")
    return [{**options, "seed": seed + number} if isinstance(seed, int) else options for number in range(count)]


def user(prompt: str) -> list[Message]:
    return [{"role": "user", "content": prompt}]
