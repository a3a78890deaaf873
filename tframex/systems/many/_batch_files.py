"""The files of one batch: requests, results, and what cannot be among the results yet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tframex.errors import CheckpointError, ConfigurationError
from tframex.files import Journal, LineFile, Row, read_lines
from tframex.systems.many.batch import BatchLine

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["BatchFiles"]

# The HTTP statuses and names of errors that say that a request is wrong in itself.
_MENDABLE = {401, 403, 408, 409, 425, 429}
_FINAL = {"invalid_line", "ConfigurationError", "ContextLengthError", "ModelNotFoundError"}


class BatchFiles:
    """Holds the files of one batch. Its methods block; call them in a thread.

    Results are appended in the order of the requests. Those of lines that had failed in an earlier run are kept in the
    checkpoint, until all of them are there: then a new file of results takes the place of the old one.

    Args:
        source: The file of requests.
        target: The file of results.
        checkpoint: Where answers are kept that cannot be written yet. None: `TARGET.checkpoint`.

    Raises:
        ConfigurationError: Two of them are the same file.
    """

    def __init__(self, source: Path, target: Path, checkpoint: str | Path | None) -> None:
        if not target.name:
            raise ConfigurationError(f"the output must be a file, not {str(target)!r}")
        kept = Path(checkpoint) if checkpoint is not None else target.with_name(f"{target.name}.checkpoint")
        if len({source.resolve(), target.resolve(), kept.resolve()}) < 3:
            raise ConfigurationError(
                f"input ({source}), output ({target}) and checkpoint ({kept}) must be different files"
            )
        self.source = source
        self.earlier = 0
        """Lines of the output that stay as they are."""
        self.failed = 0
        """Those of them that have an error."""
        self.retried: set[int] = set()
        """The numbers of the lines that had failed and are asked again."""
        self._target = target
        self._checkpoint = kept

    def open(self, job: str, parsed: Callable[[int, str], BatchLine], *, retry: bool) -> Self:
        """Claim the files, and look at what earlier runs have written.

        Args:
            job: Identifies the model and the options.
            parsed: The request of a line.
            retry: Ask those lines again whose failure may not happen another time.

        Raises:
            OutputError: A file cannot be read or written, or another run has it.
            CheckpointError: The output or the checkpoint is of another batch, or another run has the checkpoint.
        """
        self._output = LineFile(self._target)
        try:
            self._rest = read_lines(self.source)
            self._scan(self._rest, parsed, retry)
            self._journal = Journal(self._checkpoint, job)
            self._names = set(self._journal.names())
        except BaseException:
            self._output.close()
            raise
        return self

    def _scan(self, source: Iterator[tuple[int, str]], parsed: Callable[[int, str], BatchLine], retry: bool) -> None:
        for done, (_, result) in enumerate(read_lines(self._target), start=1):
            number, raw = next(source, (0, ""))
            found = _object(result)
            if not number or found.get("id") != parsed(number, raw).id:
                asked = f"of line {number} of {self.source}" if number else f"of any line of {self.source}"
                raise CheckpointError(
                    f"line {done} of {self._target} is not the result {asked}: another batch, model or option has "
                    "written it. Nothing was changed; give another output file, or delete that.",
                    path=str(self._target),
                )
            if retry and _may_differ(found):
                self.retried.add(number)
            else:
                self.earlier += 1
                self.failed += found.get("error") is not None

    def lines(self) -> Iterator[tuple[int, str]]:
        """The requests to answer: those that had failed, then those that no earlier run has come to."""
        if self.retried:
            last = max(self.retried)
            for number, raw in read_lines(self.source):
                if number in self.retried:
                    yield number, raw
                if number == last:
                    break
        yield from self._rest

    def known(self, number: int) -> bool:
        """Whether the checkpoint has something of a line."""
        return str(number) in self._names

    def kept(self, line: BatchLine, *, retry: bool) -> Row | None:
        """What the checkpoint has of a line; of one that failed nothing, if it is to be asked again."""
        row = self._journal.get(str(line.number))
        if row is None or row.key != line.key or (retry and row.done and _may_differ(_object(row.text))):
            return None
        return row

    def write(self, results: list[tuple[BatchLine, str]]) -> None:
        """Write results whose turn it is."""
        again = [(line, text) for line, text in results if line.number in self.retried]
        if again:
            self._journal.exchange([finished(line, text) for line, text in again], [])
        ahead = [text for line, text in results if line.number not in self.retried]
        if ahead:
            self._output.write(ahead)

    def save(self, rows: list[Row], written: list[int]) -> None:
        """Keep what cannot be written yet, and forget what was."""
        self._journal.exchange(rows, [str(number) for number in written if number not in self.retried])

    def finish(self) -> None:
        """Everything is answered: put the results of lines that had failed in their places, and remove the checkpoint."""
        if self.retried:
            self._output.replace(self._merged())
        self._journal.remove()

    def _merged(self) -> Iterator[str]:
        for (number, _), (_, line) in zip(read_lines(self.source), read_lines(self._target), strict=False):
            old = line.removesuffix("\n")
            row = self._journal.get(str(number)) if number in self.retried else None
            yield old if row is None else _better(old, row.text)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._journal.close()
        self._output.close()


def finished(line: BatchLine, result: str) -> Row:
    """A result, as the checkpoint keeps it."""
    return Row(str(line.number), line.key, 0, 0, True, result, 0, {})


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _may_differ(result: dict[str, Any]) -> bool:
    """Whether a result is an error that may not happen another time: that of the server or the network, not of the line."""
    error = result.get("error")
    if not isinstance(error, dict):
        return False
    code = str(error.get("code"))
    return (int(code) in _MENDABLE or int(code) >= 500) if code.isdecimal() else code not in _FINAL


def _better(old: str, new: str) -> str:
    """The new result, unless both failed and less has arrived of it."""
    failed, before = _object(new).get("error"), _object(old).get("error")
    if isinstance(failed, dict) and isinstance(before, dict):
        return old if len(failed.get("partial", "")) < len(before.get("partial", "")) else new
    return new
