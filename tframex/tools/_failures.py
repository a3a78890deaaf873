"""What a tool raises to speak to the model. Anything else that it raises ends the run."""

from __future__ import annotations

__all__ = ["AskAgain", "ToolFailure"]


class ToolFailure(Exception):  # noqa: N818 - the word for what a tool says, not for a mistake in a program
    """The tool has failed, and the model is told so in these words; the run continues.

    For what the model should know and can do nothing about, such as a service that is down.
    """


class AskAgain(ToolFailure):
    """The model should correct its call, as these words say; the run continues.

    For arguments that fit the schema and still make no sense, such as a city that does not exist.
    """
