"""Options of the model, and texts, as they come from a command line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.errors import ConfigurationError
from tframex.files import reported

if TYPE_CHECKING:
    from tframex.model import Output

__all__ = ["Sampling", "read"]

# Names of parameters, and what would change the shape of the answer.
_OURS = frozenset(
    [
        "self",
        "prompt",
        "messages",
        "initial_prompt",
        "long_text",
        "num_calls",
        "n",
        "output_dir",
        "base_filename",
        "input_path",
        "output_path",
        "path",
        "key",
        "confidence",
        "progress",
        "checkpoint",
        "model",
        "stream",
        "stream_options",
        "output_type",
        "extra_body",
        "extra_headers",
        "extra_query",
    ]
)


@dataclass(frozen=True)
class Sampling:
    """The options that go to the model, the same for every command that asks it something."""

    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens an answer may have. [env: MAX_TOKENS] [default: 1024]")
    ] = None
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Sampling temperature. [env: TEMPERATURE] [default: 0.7]")
    ] = None
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="Any other option, such as top_k=20. Repeatable."),
    ] = None

    schema: Annotated[
        Path | None,
        typer.Option(
            "--schema", metavar="FILE", help="A JSON schema: the answer is JSON that it describes, or an error."
        ),
    ] = None

    @property
    def options(self) -> dict[str, Any]:
        """Keywords for the model.

        Raises:
            ConfigurationError: One of them is not of the form NAME=VALUE, or the schema is none.
            OutputError: The schema cannot be read.
        """
        found: dict[str, Any] = {"max_tokens": self.max_tokens, "temperature": self.temperature}
        if self.schema is not None:
            found["output_type"] = _schema(self.schema)
        found = {name: value for name, value in found.items() if value is not None}
        for given in self.option or ():
            name, sign, value = given.partition("=")
            if not sign or not name.isidentifier():
                raise ConfigurationError(f"--option takes NAME=VALUE, such as top_k=20, not {given!r}")
            if name in _OURS:
                raise ConfigurationError(f"{name} cannot be given with --option: the command itself sets it")
            try:
                found[name] = json.loads(value)
            except ValueError:
                found[name] = value
        return found

    @property
    def limiting(self) -> str:
        """The option that limits the tokens of an answer, as it is written on the command line."""
        own = {given.partition("=")[0] for given in self.option or ()}
        for name in ("max_completion_tokens", "max_tokens"):
            # One that is null is no limit.
            if name in own and self.options[name] is not None:
                return f"-o {name}"
        return "--max-tokens"


def _schema(path: Path) -> Output[Any]:
    from tframex.model import Output

    try:
        found = json.loads(read(str(path)))
    except ValueError as exc:
        raise ConfigurationError(f"{path} is not JSON ({exc})") from None
    try:
        return Output.from_schema(found)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{path}: {exc.args[0]}") from exc


def read(name: str) -> str:
    """The text of a file, or of standard input if the name is `-`.

    Raises:
        ConfigurationError: It is not a text in UTF-8.
        OutputError: It cannot be read.
    """
    if name == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise ConfigurationError("there is nothing on standard input; pipe a text into the command")
        data = sys.stdin.buffer.read()
    else:
        path = Path(name)
        with reported(path, "read"):
            data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        where = "standard input" if name == "-" else name
        raise ConfigurationError(f"{where} is not UTF-8 text ({exc}); convert it first") from None
