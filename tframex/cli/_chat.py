"""`tframex chat`: a conversation on the terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tframex.cli._ask import System
from tframex.cli._chat_commands import ChatCommands
from tframex.cli._command import command
from tframex.cli._endpoint import EndpointOptions
from tframex.cli._lines import Lines
from tframex.cli._options import Sampling
from tframex.cli._shown import as_json, show
from tframex.cli._terminal import Terminal
from tframex.cli._tools import Tools, agent_of
from tframex.errors import ApprovalNeeded, TFrameXError

if TYPE_CHECKING:
    from tframex import sync

__all__ = ["register"]

# Seconds between two pieces of an answer: what a screen can show.
_INTERVAL = 0.05


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app)
    def chat(
        endpoint: EndpointOptions,
        sampling: Sampling,
        terminal: Terminal,
        system: System = None,
        history: Annotated[
            str | None,
            typer.Option("--history", metavar="FILE", help="Keep the conversation here; an earlier one is continued."),
        ] = None,
        tools: Tools = None,
    ) -> None:
        """Talk with the model.

        It remembers what was said. /help shows the commands; Ctrl-C stops an answer, Ctrl-D ends the chat. Piped lines are
        prompts, one after the other.
        """
        from tframex import sync

        with endpoint.open(reasoning="separate") as model:
            agent = agent_of("chat", model, system, tools)
            with sync.Conversation(agent, history) as conversation:
                _Chat(conversation, agent, sampling, terminal).run()


class _Chat:
    def __init__(self, conversation: sync.Conversation, agent: Any, sampling: Sampling, terminal: Terminal) -> None:
        self._conversation = conversation
        self._commands = ChatCommands(conversation, agent, terminal)
        self._lines = Lines(self._commands.names)
        self._sampling = sampling
        self._terminal = terminal
        self._agent = agent

    def run(self) -> None:
        """Answer prompts until there are no more."""
        if self._lines.interactive:
            self._greet()
        while True:
            try:
                line = self._lines.read()
                if line is None:
                    break
                if line.strip() and self._take(line):
                    return
            except KeyboardInterrupt:
                if not self._lines.interactive:
                    raise
                sys.stderr.write("\n")
                self._terminal.remark("Ctrl-D or /exit ends the chat.")
            except TFrameXError as error:
                # A program that pipes prompts is to see it; later ones may depend on the answer.
                if not self._lines.interactive:
                    raise
                self._terminal.fail(error)
        if self._lines.interactive:
            sys.stderr.write("\n")

    def _greet(self) -> None:
        turns = len(self._conversation.turns)
        continued = f", continuing {turns} {'turn' if turns == 1 else 'turns'}" if turns else ""
        self._terminal.remark(
            f"{self._agent.model.model_id}{continued}. /help shows the commands, Ctrl-D ends the chat."
        )

    def _take(self, line: str) -> bool:
        """Answer a prompt or run a command; returns whether the chat is to end."""
        if line.startswith("/"):
            return self._commands.run(line)
        try:
            self._answer(line.strip())
        except KeyboardInterrupt:
            if not self._lines.interactive:
                raise
            sys.stderr.write("\n")
            self._terminal.remark("Stopped. What was said before is remembered, this prompt is not.")
        return False

    def _answer(self, prompt: str) -> None:
        options = self._sampling.options
        if self._terminal.json:
            self._terminal.result(as_json(self._conversation.complete(prompt, **options)))
            return
        # A program that reads the answers gets them alone, not what the model writes before it calls a tool.
        live = sys.stdout.isatty() or not hasattr(self._agent, "tools")
        with TemporaryDirectory() as folder:
            if live and self._lines.interactive and hasattr(self._agent, "tools"):
                # So that an answer continues when a person has decided about its calls.
                options["checkpoint"] = str(Path(folder) / "turn.sqlite")
            while True:
                events = self._conversation.events(prompt, **{"interval": _INTERVAL, **options})
                try:
                    completion = show(events, self._terminal, live=live)
                    break
                except ApprovalNeeded as error:
                    if "checkpoint" not in options:
                        raise
                    self._decide(error)
        if completion.finish_reason == "length":
            self._terminal.remark(
                f"The answer was cut off at its token limit; raise {self._sampling.limiting}.", "yellow"
            )
        if self._lines.interactive:
            sys.stderr.write("\n")

    def _decide(self, error: ApprovalNeeded) -> None:
        from tframex.tools import approve, deny

        for call in error.calls:
            if self._lines.confirm(f"Run {call.name}({call.arguments})?"):
                approve(error.path, call)
            else:
                deny(error.path, call)
