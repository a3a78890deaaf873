"""One prompt many times, or many prompts, concurrently."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tframex._checks import check_count
from tframex.agents.base import BaseAgent, check_prompt
from tframex.exchange import hide_values
from tframex.systems.many._batch_files import BatchFiles
from tframex.systems.many._batching import BatchRun
from tframex.systems.many._judging import Judge, best, judged
from tframex.systems.many._sampling_system import SamplingSystem, seeds_of, unbroken, user
from tframex.systems.many._voting import Ballot, VoteKey
from tframex.systems.many.batch import BatchResult
from tframex.systems.many.samples import BestOf, Vote
from tframex.tasks import ProgressCallback

__all__ = ["MultiCallSystem"]


class MultiCallSystem(SamplingSystem):
    """Makes many calls concurrently: into files, as samples, for a vote, or one for each of many prompts.

    How many are in flight is found out while they run (`"auto"`): the number grows until the server refuses calls (429,
    503, no connection) or lets them wait, and follows what it can take from then on. All systems with `"auto"` on one
    model share that number. A call that is refused is sent again for two minutes; one that breaks off is continued.

    With the option `output_type` each answer has a type: its value is `Sample.output`, and a call without one has failed.

    With the option `seed` the calls get distinct seeds that follow each other, so that a run can be repeated.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with; or an agent, each of whose runs is then a call.
        max_concurrency: The most calls in flight: `"auto"` or a number. The model's own `max_concurrency` holds as well.
        warm_prefix: Send the first call ahead and the others when its first token has come, so that they find their common
            prompt in the server's prefix cache.

    Raises:
        ConfigurationError: An argument is out of range.
    """

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
                count. By default the last line of the text, without white space, case and a final full stop; with
                `output_type` equal values have their votes in common, and a key gets the value.
            confidence: How probable it must be that the missing votes would not change the winner; with 1 they cannot.
            allow_truncated: Let answers vote that were cut off, at `max_tokens` say. The last line of such an answer is
                seldom its result.
            progress: Called after each call, and twice a second.
            **options: Options for the model.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PartialFailureError: No answer counts; all of them are in its `results`.
        """
        hide_values(options)
        check_prompt(prompt)
        output_type = options.get("output_type")
        ballot = Ballot(check_count("n", n), confidence, key, allow_truncated=allow_truncated, output_type=output_type)
        calls = self._calls(n, progress)
        seeds = seeds_of(options, n)
        async with calls.meter:
            await ballot.hold(lambda index: calls.one(index, user(prompt), seeds[index - 1]), calls.cancel)
        return ballot.result(unbroken(calls, ballot.samples))

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
                answer points from 0 to 100: in its text, or where it has an `output_type` as a number or an object with
                `points` or a `score`. An answer without a score cannot win. A function that is not asynchronous runs
                in worker threads, as many as calls are made concurrently.
            allow_truncated: Judge answers too that were cut off, at `max_tokens` say; without it they cannot win.
            progress: Called after each call, and twice a second.
            **options: Options for the model; not for the judge.

        Raises:
            ConfigurationError: An argument is wrong; nothing was sent.
            PartialFailureError: No answer got a score; all of them are in its `results`.
        """
        hide_values(options)
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
            **options: Options for all lines; those of a line take precedence.

        Raises:
            ConfigurationError: An argument or option is wrong.
            OutputError: A file cannot be read or written.
            CheckpointError: The output, or the checkpoint, belongs to another batch.
            ModelError: The server is gone or refuses everything.
        """
        hide_values(options)
        files = BatchFiles(Path(input_path), Path(output_path), checkpoint)
        batch = BatchRun(self.model, files, options, retry_failed=retry_failed)
        return await batch.run(self._metered, progress)
