"""How an answer of a type is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tframex._types import Message, Messages
from tframex.errors import ConfigurationError, OutputValidationError
from tframex.model._output_schema import SentSchema
from tframex.servers import GRAMMARS, OutputForm

__all__ = ["asked_again", "check_free", "form_options", "with_text"]

# An answer that is shown to the model again is cut here: it is asked for the complete one anyway.
_SHOWN = 4000
_TAKEN = GRAMMARS | {"continue_final_message", "response_format"}


def check_free(options: Mapping[str, Any]) -> None:
    """Refuse options that ask for another form of the answer than its type does.

    Raises:
        ConfigurationError: There is one.
    """
    extra = options.get("extra_body")
    given = {**options, **extra} if isinstance(extra, Mapping) else options
    for name in sorted(_TAKEN & given.keys()):
        if given[name] is not None:
            raise ConfigurationError(f"{name} and output_type both say what the answer looks like: give one of them")
    if given.get("n") not in (None, 1):
        raise ConfigurationError(
            f"output_type goes with one answer to a call, not with n={given['n']}; MultiCallSystem.sample makes several"
        )


def form_options(form: OutputForm, name: str, sent: SentSchema) -> dict[str, Any]:
    """The options of a request that asks in this form."""
    if form == "response_format":
        schema = {"name": name, "schema": sent.schema, "strict": sent.strict}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}
    if form == "json_object":
        return {"response_format": {"type": "json_object"}}
    if form == "structured_outputs":
        return {"structured_outputs": {"json": sent.schema}}
    return {"json_schema": sent.schema} if form == "json_schema" else {}


def with_text(messages: Messages, text: str) -> list[Message]:
    """The conversation with a further text of the user.

    It goes into the user's last message, if that is the last one: some chat templates refuse two of them in a row.
    """
    *before, last = messages
    if last.get("role") != "user":
        return [*messages, {"role": "user", "content": text}]
    content = last.get("content")
    if isinstance(content, (list, tuple)):
        return [*before, {**last, "content": [*content, {"type": "text", "text": text}]}]
    return [*before, {**last, "content": f"{content or ''}\n\n{text}"}]


def asked_again(messages: Messages, error: OutputValidationError) -> list[Message]:
    """The conversation that asks again, with the answer and what is wrong with it."""
    said = error.text.strip()
    if len(said) > _SHOWN:
        said = f"{said[:_SHOWN]}..."
    wrong = "\n".join(f"- {line}" for line in error.errors)
    text = f"That is not what was asked for:\n{wrong}\nAnswer again, with the complete JSON alone."
    if not said:
        return with_text(messages, text)
    return with_text([*messages, {"role": "assistant", "content": said}], text)
