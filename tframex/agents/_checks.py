"""Checks of what agents and systems are given."""

from __future__ import annotations

from tframex.errors import ConfigurationError
from tframex.model import BaseModel

__all__ = ["check_parts", "check_prompt"]


def check_parts(name: str, value: object, model: object) -> None:
    """Refuse an empty name, and anything that is not an asynchronous model."""
    if not isinstance(value, str) or not value.strip():
        raise ConfigurationError(f"{name} must be a non-empty string, not {value!r}")
    if not isinstance(model, BaseModel):
        if type(model).__module__.startswith("tframex.sync"):
            raise ConfigurationError(
                f"{value!r} is asynchronous but its model is synchronous. Take both from the same place: either "
                "tframex.model and tframex.agents, or tframex.sync."
            )
        raise ConfigurationError(
            f"the model of {value!r} must be a tframex.model.BaseModel (such as VLLMModel), not {type(model).__name__}"
        )


def check_prompt(prompt: object, name: str = "prompt") -> str:
    """Refuse an empty prompt."""
    if not isinstance(prompt, str) or not prompt.strip():
        raise ConfigurationError(f"{name} must be a non-empty string, not {prompt!r}")
    try:
        prompt.encode()
    except UnicodeEncodeError as exc:
        raise ConfigurationError(
            f"{name} has half of a character at position {exc.start} (a lone surrogate), which cannot be sent; decode the "
            "text it comes from with errors='replace'"
        ) from exc
    return prompt
