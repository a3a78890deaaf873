"""What a drop-in client and its copies share."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, get_args

import openai

from tframex._checks import check_interval
from tframex._types import ResumeMode
from tframex.errors import ConfigurationError
from tframex.exchange import Pace, ServedModel

__all__ = ["NOTHING", "Shared", "checked", "given"]

NOTHING: Mapping[str, Any] = MappingProxyType({})
_OURS = {"self", "__class__", "resume", "idle_timeout", "interval"}


@dataclass
class Shared:
    """Our own settings, and what was learned of the endpoints.

    Attributes:
        resume: Whether broken streams are continued.
        idle_timeout: Seconds between two events of an asynchronous stream, or None.
        interval: Seconds between two chunks of a stream.
        default_client: The HTTP client that was made because none was given: settings describe it completely.
        served: What was learned, by base URL and model.
    """

    resume: ResumeMode = "auto"
    idle_timeout: float | None = None
    interval: float = 0.0
    default_client: object = None
    served: dict[tuple[str, str], ServedModel] = field(default_factory=dict)

    def of(self, base_url: str, model: str) -> ServedModel:
        """What is known of a model at an endpoint."""
        return self.served.setdefault((base_url, model), ServedModel())

    @property
    def pace(self) -> Pace | None:
        """How often streams are read."""
        return Pace(self.interval) if self.interval else None

    def but(
        self, resume: ResumeMode | None, idle_timeout: float | openai.NotGiven | None, interval: float | None
    ) -> Shared:
        """The same settings, except those given."""
        changes: dict[str, Any] = {} if resume is None else {"resume": checked(resume)}
        if not isinstance(idle_timeout, openai.NotGiven):
            changes["idle_timeout"] = idle_timeout
        if interval is not None:
            changes["interval"] = check_interval(interval)
        return replace(self, **changes) if changes else self


def checked(resume: ResumeMode) -> ResumeMode:
    """`resume`, if it is a valid value.

    Raises:
        ConfigurationError: It is not.
    """
    if resume not in get_args(ResumeMode):
        raise ConfigurationError(f"resume must be one of 'auto', 'never', not {resume!r}")
    return resume


def given(arguments: Mapping[str, Any], official: Set[str]) -> dict[str, Any]:
    """Those of our arguments that an official function takes.

    Raises:
        TypeError: An argument is set that the installed version of the official client does not have.
    """
    for name in arguments.keys() - official - _OURS:
        if not (arguments[name] is None or isinstance(arguments[name], openai.NotGiven) or name.startswith("_")):
            raise TypeError(f"the installed version of openai has no argument {name!r}")
    return {name: arguments[name] for name in arguments.keys() & official - _OURS}
