"""What the systems for long texts ask their models.

After "Chain of Agents" (Zhang et al., NeurIPS 2024, arXiv 2406.02818), appendix B. The part that is the same in every
step comes first, so that a server with prefix caching reads it once.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from string import Formatter

from tframex.errors import ConfigurationError

__all__ = ["LongTextPrompts"]

_FIELDS = {
    "worker": {"task", "notes", "chunk"},
    "manager": {"task", "notes"},
    "direct": {"task", "text"},
    "condense": {"task", "notes"},
    "judge": {"task", "answers"},
}
_CARRY = (
    "A long text is read part by part to carry out this task:\n{task}\n\n"
    "Write notes for whoever carries out the task in the end. "
)
_READ = "\n\nNotes so far:\n{notes}\n\nNext part of the text:\n{chunk}\n\nNotes:"
_DECIDE = (
    "Task: {task}\n\nSeveral people have read the same long text in different orders and answered:\n{answers}\n\n"
    "Weigh the answers against each other: prefer what several agree on and what names its evidence. Write the best answer "
    "to the task, and nothing else."
)


@dataclass(frozen=True)
class LongTextPrompts:
    """Templates, filled in with `str.format`.

    `LongTextPrompts()` is for questions and for tasks of any kind; `summary()` and `code()` suit summaries and source code.
    Change one with `dataclasses.replace(LongTextPrompts(), worker="...")`.

    Attributes:
        worker: Asks for notes on the next part; takes `{task}`, `{notes}` (what was noted so far, or a dash) and `{chunk}`.
        manager: Asks for the answer; takes `{task}` and `{notes}`.
        direct: Asks for the answer on a text that fits into one request; takes `{task}` and `{text}`.
        condense: Asks for shorter notes; takes `{task}` and `{notes}`.
        judge: Asks for the best of several answers; takes `{task}` and `{answers}`.

    Raises:
        ConfigurationError: A template lacks a field, or has an unknown one.
    """

    worker: str = (
        _CARRY
        + "Take over what matters from the notes so far, add what the new part says about the task (names, numbers and "
        "facts word for word), and leave out everything else." + _READ
    )
    manager: str = (
        "A long text was read part by part to carry out this task:\n{task}\n\nThese are the notes of those who read it:\n"
        "{notes}\n\nCarry out the task on the basis of the notes alone.\nTask: {task}"
    )
    direct: str = "Text:\n{text}\n\nOn the basis of this text, carry out this task:\n{task}"
    condense: str = (
        "These notes were taken on a long text to carry out this task:\n{task}\n\nNotes:\n{notes}\n\nWrite them down "
        "again in half the length. Keep names, numbers and facts word for word, and drop what matters least.\n\nNotes:"
    )
    judge: str = _DECIDE

    def __post_init__(self) -> None:
        for field in fields(self):
            template = getattr(self, field.name)
            try:
                found = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
            except ValueError as exc:
                raise ConfigurationError(
                    f"the {field.name} template cannot be read ({exc}); double a brace that is text: {{{{ and }}}}"
                ) from exc
            if found != _FIELDS[field.name]:
                expected = ", ".join(f"{{{name}}}" for name in sorted(_FIELDS[field.name]))
                raise ConfigurationError(
                    f"the {field.name} template must have the fields {expected}, not {sorted(found)}; double a brace that "
                    "is text: {{ and }}"
                )

    @classmethod
    def summary(cls) -> LongTextPrompts:
        """For summaries: the notes are a summary that grows with the text."""
        return cls(
            worker=_CARRY
            + "The notes are a summary of everything read so far. Bring it up to date with the new part: keep "
            "the order of events, say who did what, and give each part the room it deserves." + _READ,
            manager="This is a summary of a long text, written while it was read:\n{notes}\n\nCarry out this task on "
            "the basis of the summary alone:\n{task}",
        )

    @classmethod
    def code(cls) -> LongTextPrompts:
        """For source code: the notes keep signatures and where things are."""
        return cls(
            worker=_CARRY
            + "The text is source code. Keep, word for word, the signatures, names and constants that the task "
            "needs, say where each is defined and what calls it, and leave out bodies that do not matter." + _READ,
            manager="Source code was read part by part. These are the notes of those who read it:\n{notes}\n\nCarry out "
            "this task on the basis of the notes alone; write code where the task asks for it:\n{task}",
        )
