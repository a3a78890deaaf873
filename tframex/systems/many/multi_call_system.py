"""One prompt many times, or many prompts, at once."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from tframex._checks import check_count, check_messages
from tframex._types import Message, Messages
from tframex.agents.base import BaseAgent, check_prompt
from tframex.errors import ConfigurationError
from tframex.files import make_folder
from tframex.model.base import BaseModel
from tframex.systems._meter import ProgressMeter
from tframex.systems.base import BaseSystem
from tframex.systems.many._batch_files import BatchFiles
from tframex.systems.many._batching import BatchRun
from tframex.systems.many._judging import Judge, best, judged
from tframex.systems.many._sampler import Sampler, reason_of
from tframex.systems.many._voting import Ballot, VoteKey
from tframex.systems.many.batch import BatchResult
from tframex.systems.many.samples import BestOf, Sample, Samples, Vote
from tframex.tasks import Limit, ProgressCallback, map_bounded

__all__ = ["MultiCallSystem"]


class MultiCallSystem(BaseSystem):
    """Makes many calls at once: into files, as samples, for a vote, or one for each of many prompts.

    How many are in flight is found out while they run (`"auto"`): the number grows until the server refuses calls (429,
    503, no connection) or lets them wait, and follows what it can take from then on. All systems with `"auto"` on one
    model share that number. A call that is refused is sent again for two minutes; one that breaks off is continued.

    With the option `seed` the calls get distinct seeds that follow each other, so that a run can be repeated.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.
        max_concurrency: Calls in flight at once: `"auto"` or a number. The model's own `max_concurrency` holds as well.
        warm_prefix: Send the first call ahead and the others when its first token has come, so that they find their common
            prompt in the server's prefix cache.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
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

        An answer grows in a `.partial` file and gets its name when it is whole. A failed call does not stop the others:
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
        check_prompt(prompt)
        check_count("num_calls", num_calls)
        if not isinstance(base_filename, str) or not base_filename or Path(base_filename).name != base_filename:
            raise ConfigurationError(
                f"base_filename must be the beginning of a file name, not {base_filename!r}; folders go into output_dir"
            )
        folder = make_folder(output_dir)
        paths = [folder / f"{base_filename}_{number}.txt" for number in range(1, num_calls + 1)]
        return await self._all([_user(prompt)] * num_calls, _seeds(options, num_calls), progress, paths)

    async def sample(self, prompt: str, n: int, *, progress: ProgressCallback | None = None, **options: Any) -> Samples:
        """Send the prompt `n` times and return the answers, without files.

        Args:
            prompt: What to send.
            n: How many times.
            progress: Called after each call, and twice a second.
            **options: Options for the model; with `seed` the samples are distinct and can be had again.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
        """
        check_prompt(prompt)
        check_count("n", n)
        return await self._all([_user(prompt)] * n, _seeds(options, n), progress)

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
        asked = [_user(check_prompt(p)) if isinstance(p, str) else check_messages(p) for p in prompts]
        return await self._all(asked, [options] * len(asked), progress)

    async def vote(
        self,
        prompt: str,
        n: int,
        *,
        key: VoteKey | None = None,
        confidence: float = 0.95,
        allow_truncated: bool = False,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> Vote:
        """Ask up to `n` times and return what most answers say (self-consistency, Wang et al. 2022, arXiv 2203.11171).

        No more calls are sent than could decide the vote, and as soon as the leader cannot be caught by those that are
        missing, at this confidence, the others are cancelled on the server.

        Args:
            prompt: What to ask.
            n: The most answers.
            key: What an answer says: a short text that equal answers have in common, or None for an answer that does not
                count. By default the last line of the text, without white space, case and a final full stop.
            confidence: How probable it must be that the missing votes would not change the winner; with 1 they cannot.
            allow_truncated: Let answers vote that were cut off, at `max_tokens` say. What such a one says last is seldom
                what it was going to say.
            progress: Called after each call, and twice a second.
            **options: Options for the model.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PartialFailureError: No answer counts; all of them are in its `results`.
        """
        check_prompt(prompt)
        ballot = Ballot(check_count("n", n), confidence, key, allow_truncated=allow_truncated)
        calls = self._calls(n, progress)
        seeds = _seeds(options, n)
        async with calls.meter:
            await ballot.hold(lambda index: calls.one(index, _user(prompt), seeds[index - 1]), calls.cancel)
        return ballot.result(_unbroken(calls, ballot.samples))

    async def best_of(
        self,
        prompt: str,
        n: int,
        judge: Judge | BaseAgent,
        *,
        allow_truncated: bool = False,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> BestOf:
        """Ask `n` times and return the answer with the highest score.

        Args:
            prompt: What to ask.
            n: How many answers.
            judge: A function from an answer to its score, asynchronous or not; or an agent that is asked to give each
                answer points from 0 to 100. An answer without a score cannot win. A function that is not asynchronous runs
                in worker threads, as many as calls are made concurrently.
            allow_truncated: Judge answers too that were cut off, at `max_tokens` say; without it they cannot win.
            progress: Called after each call, and twice a second.
            **options: Options for the model; not for the judge.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PartialFailureError: No answer got a score; all of them are in its `results`.
        """
        score = judged(judge, prompt)
        samples = await self.sample(prompt, n, progress=progress, **options)
        limit = int(min(self._limit.limit, 64))
        return await best(samples, score, limit, allow_truncated=allow_truncated)

    async def run_file(
        self,
        input_path: str | Path,
        output_path: str | Path,
        *,
        checkpoint: str | Path | None = None,
        retry_failed: bool = True,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> BatchResult:
        """Answer every line of a JSON Lines file, in order, in another one.

        A line is a text (`"a prompt"`), an object with a `prompt` or with `messages` (and, if you like, a `custom_id` and
        options), or a request of OpenAI's Batch API, which is answered in that API's format. Results are on disk as soon
        as those before them are; memory does not grow with the file. A line that cannot be answered gets an `error` in its
        place.

        The same call again continues where the last one stopped, however it stopped, and asks the failed lines again.
        Where the server itself is at fault (gone for two minutes, the key refused), the run ends with that error, and can
        be continued as well.

        Args:
            input_path: The requests.
            output_path: The results. Those that are there already are kept; they must be of the same requests, model and
                options.
            checkpoint: Where unfinished answers are kept until their line is written; `OUTPUT.checkpoint` by default.
                It is deleted at the end. Each batch needs its own.
            retry_failed: Ask lines again that failed in an earlier run, where the failure was not the line's own: the
                connection, a timeout, 429, 5xx. When all of them have a result, the output is replaced as one file.
            progress: Called after each line, and twice a second.
            **options: Options for all lines; those of a line go before them.

        Raises:
            ConfigurationError: An argument or option is wrong.
            OutputError: A file cannot be read or written.
            CheckpointError: The output, or the checkpoint, belongs to another batch.
            ModelError: The server is gone or refuses everything.
        """
        files = BatchFiles(Path(input_path), Path(output_path), checkpoint)
        batch = BatchRun(self.model, files, options, retry_failed=retry_failed)
        return await batch.run(self._metered, progress)

    @property
    def _limit(self) -> Limit:
        return self._own_limit or self.model.limit

    def _calls(self, total: int, progress: ProgressCallback | None) -> Sampler:
        return self._metered(ProgressMeter(total, progress))

    def _metered(self, meter: ProgressMeter) -> Sampler:
        return Sampler(self.system_id, self.model, meter, limit=self._own_limit, warm_prefix=self.warm_prefix)

    async def _all(
        self,
        asked: list[Messages],
        options: list[dict[str, Any]],
        progress: ProgressCallback | None,
        paths: list[Path] | None = None,
    ) -> Samples:
        calls = self._calls(len(asked), progress)

        async def call(index: int) -> Sample:
            path = paths[index - 1] if paths else None
            return await calls.one(index, asked[index - 1], options[index - 1], path=path)

        async with calls.meter:
            # The limit says how many of them may be in flight; the others wait for it.
            found = await map_bounded(call, range(1, len(asked) + 1), len(asked))
        return _unbroken(calls, found)


def _unbroken(calls: Sampler, found: list[Sample]) -> Samples:
    """All calls of the run, unless the progress callback has stopped it."""
    samples = calls.samples(found)
    if calls.meter.broken is not None:
        raise samples.stopped(calls.meter.broken)
    return samples


def _seeds(options: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """The options of each call: they get seeds that follow each other, if there is one."""
    seed = options.get("seed")
    return [{**options, "seed": seed + number} if isinstance(seed, int) else options for number in range(count)]


def _user(prompt: str) -> list[Message]:
    return [{"role": "user", "content": prompt}]
