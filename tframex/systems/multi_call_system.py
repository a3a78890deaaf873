"""The same prompt several times at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tframex._checks import check_count
from tframex._concurrency import map_bounded
from tframex._files import make_folder
from tframex._logging import get_logger
from tframex._progress import Progress, ProgressCallback
from tframex.agents.base import check_prompt
from tframex.agents.basic import BasicAgent
from tframex.errors import ConfigurationError, TFrameXError
from tframex.model.base import BaseModel
from tframex.systems.base import BaseSystem

__all__ = ["MultiCallSystem"]

log = get_logger("tframex.systems")


class MultiCallSystem(BaseSystem):
    """Sends one prompt several times at once and streams each answer into a file of its own.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.
        max_concurrency: Calls in flight at once.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(self, system_id: str, model: BaseModel, *, max_concurrency: int = 16) -> None:
        super().__init__(system_id, model)
        self.max_concurrency = check_count("max_concurrency", max_concurrency)

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
        its value starts with `ERROR:`, and what it had received stays in its partial file.

        Args:
            prompt: What to send.
            num_calls: How many times.
            output_dir: The folder for the answers; it is made if it is missing.
            base_filename: How the files' names begin.
            progress: Called after each call.
            **options: Options for the model.

        Returns:
            `{"call_1": path, "call_2": path, ...}`.

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
        agent = BasicAgent(self.system_id, self.model)
        done = failed = 0

        async def call(number: int) -> str:
            nonlocal done, failed
            path = folder / f"{base_filename}_{number}.txt"
            try:
                await agent.stream_to_file(prompt, path, **options)
                result = str(path)
            except ConfigurationError:
                # Wrong for every call alike: say so instead of failing num_calls times.
                raise
            except Exception as error:
                # Also what a model of the user's own may raise: the other calls have been paid for.
                log.warning("call failed", system=self.system_id, call=number, error=str(error))
                kind = "" if isinstance(error, TFrameXError) else f"{type(error).__name__}: "
                result = f"ERROR: {kind}{error}"
                failed += 1
            done += 1
            if progress is not None:
                progress(Progress("call", done, num_calls, failed, detail=result))
            return result

        results = await map_bounded(call, range(1, num_calls + 1), self.max_concurrency)
        return {f"call_{number}": result for number, result in enumerate(results, start=1)}
