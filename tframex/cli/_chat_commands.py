"""The commands of a chat, which begin with a slash."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tframex.cli._terminal import Terminal

if TYPE_CHECKING:
    from tframex import sync

__all__ = ["ChatCommands"]

_WIDE = 60
_ALIASES = {"/?": "/help", "/bye": "/exit", "/quit": "/exit"}


class ChatCommands:
    """What can be done in a chat besides saying something.

    Args:
        conversation: The conversation.
        agent: Who answers.
        terminal: Where they show what they find.
    """

    def __init__(self, conversation: sync.Conversation, agent: Any, terminal: Terminal) -> None:
        self._conversation = conversation
        self._agent = agent
        self._terminal = terminal
        self._commands: dict[str, tuple[str, str, Callable[[str], object]]] = {
            "/help": ("", "show this", self._help),
            "/clear": ("", "forget what was said", self._clear),
            "/undo": ("", "take back the last prompt and its answer", self._undo),
            "/save": ("FILE", "write a copy of the conversation; tframex chat --history FILE continues it", self._save),
            "/system": ("[TEXT]", "show the instructions, or change them (- removes them)", self._system),
            "/tokens": ("", "how much of the window is used", self._tokens),
            "/exit": ("", "end the chat, as Ctrl-D does", lambda _: None),
        }

    @property
    def names(self) -> list[str]:
        """All of them."""
        return list(self._commands)

    def run(self, line: str) -> bool:
        """Run one; returns whether the chat is to end.

        Raises:
            TFrameXError: It has failed.
        """
        name, _, rest = line.strip().partition(" ")
        name = _ALIASES.get(name.lower(), name.lower())
        if name == "/exit":
            return True
        if name not in self._commands:
            self._say(f"There is no command {name}; /help shows them. To say it, begin with a space.")
            return False
        self._commands[name][2](rest.strip())
        return False

    def _say(self, text: str) -> None:
        if self._terminal.json:
            self._terminal.result({"remark": text})
        else:
            self._terminal.console.print(text, markup=False, highlight=False)

    def _help(self, _: str) -> None:
        lines = [f"{f'{name} {takes}':16} {what}" for name, (takes, what, _) in self._commands.items()]
        lines += ["", "A line that ends with a backslash is continued in the next one. Ctrl-C stops an answer."]
        self._say("\n".join(lines))

    def _clear(self, _: str) -> None:
        self._conversation.clear()
        self._say("Forgotten.")

    def _undo(self, _: str) -> None:
        prompt = self._conversation.undo()
        self._say("There is nothing to take back." if prompt is None else f"Taken back: {_short(prompt)}")

    def _save(self, path: str) -> None:
        if not path:
            self._say("Name a file: /save FILE")
            return
        self._conversation.save(path)
        self._say(f"Saved: {path}")

    def _system(self, text: str) -> None:
        if not text:
            self._say(self._agent.system_prompt or "There are no instructions; /system TEXT gives some.")
            return
        self._agent.system_prompt = None if text == "-" else text
        self._say("Changed, from the next prompt on.")

    def _tokens(self, _: str) -> None:
        tokens, window = self._conversation.count_tokens(), self._agent.model.window()
        share = f" of a window of {window} ({tokens / window:.0%})" if window else ""
        about = "" if self._agent.model.counter.exact else "about "
        turns, condensed = len(self._conversation.turns), self._conversation.condensed
        older = f", {condensed} of them as a summary" if condensed else ""
        self._say(f"{about}{tokens} tokens{share}; {turns} {'turn' if turns == 1 else 'turns'}{older}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDE else f"{line[: _WIDE - 3]}..."
