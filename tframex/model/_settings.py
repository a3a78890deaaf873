"""The keywords that the SDK keeps for itself, and which options of a call go to the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, get_args

from tframex._checks import check_count, check_interval
from tframex._types import ReasoningMode, ResumeMode
from tframex.errors import ConfigurationError
from tframex.exchange import GATHER, Clocks, Pace

__all__ = ["Settings", "body_of"]


@dataclass(frozen=True)
class Settings:
    """The keywords that the SDK keeps for itself; they may be given to a model and overridden in each call."""

    connect_timeout: float | None = 10.0
    first_token_timeout: float | None = 600.0
    idle_timeout: float | None = 60.0
    total_timeout: float | None = None
    max_retries: int = 2
    resume: ResumeMode = "auto"
    reasoning: ReasoningMode = "inline"
    max_repeats: int | None = None
    interval: float | Pace = 0.0

    def __post_init__(self) -> None:
        for name in ("connect_timeout", "first_token_timeout", "idle_timeout", "total_timeout"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, (int, float)) or isinstance(value, bool) or value <= 0):
                raise ConfigurationError(
                    f"{name} must be a number of seconds above 0, or None for no limit, not {value!r}"
                )
        check_count("max_retries", self.max_retries, least=0)
        if self.max_repeats is not None:
            check_count("max_repeats", self.max_repeats, least=2)
        if self.interval is not GATHER:
            check_interval(self.interval)
        for name, kind in (("resume", ResumeMode), ("reasoning", ReasoningMode)):
            if getattr(self, name) not in get_args(kind):
                allowed = ", ".join(map(repr, get_args(kind)))
                raise ConfigurationError(f"{name} must be one of {allowed}, not {getattr(self, name)!r}")

    def override(self, options: dict[str, Any]) -> Settings:
        """These settings, with those among `options` in their place; they are removed from `options`."""
        own = {name: options.pop(name) for name in _NAMES & options.keys()}
        return replace(self, **own) if own else self

    @cached_property
    def pace(self) -> Pace | None:
        """How often a stream is read."""
        if isinstance(self.interval, Pace):
            return self.interval
        return Pace(self.interval) if self.interval else None

    @cached_property
    def clocks(self) -> Clocks:
        """The time limits of a stream."""
        return Clocks(first_token=self.first_token_timeout, idle=self.idle_timeout, total=self.total_timeout)


_NAMES = frozenset(field.name for field in fields(Settings))

# Our own keywords by where they belong. An endpoint would ignore them silently.
_ELSEWHERE = {
    "a system's run, complete, stream or run_file": ("checkpoint", "progress"),
    "MultiCallSystem.run": ("base_filename", "num_calls", "output_dir"),
    "MultiCallSystem.vote": ("confidence",),
    "ChainOfAgents.run and MapReduceSystem.run": ("initial_prompt", "long_text"),
    "the constructor of ChainOfAgents or MapReduceSystem": (
        "chunk_overlap",
        "chunk_size",
        "max_notes",
        "stop_early",
    ),
    "the constructor of MultiCallSystem": ("warm_prefix",),
    "the constructor of an agent": ("system_prompt",),
    "the constructor of ToolAgent": ("max_run_tokens", "max_seconds", "max_steps", "max_tool_calls", "reader"),
    "the constructor of the model": (
        "api_key",
        "api_url",
        "context_window",
        "default_headers",
        "default_max_tokens",
        "default_temperature",
        "http_client",
        "max_concurrency",
        "model_name",
    ),
    "events": ("restart",),
    "an agent, or _stream_and_aggregate in a run of your own": ("history",),
    "call, stream and events": ("max_output_retries", "output_type"),
}
_HOMES = {name: home for home, names in _ELSEWHERE.items() for name in names}
_HINTS = {
    "default_headers": "; for one call, give extra_headers",
    "default_max_tokens": "; for one call, give max_tokens",
    "default_temperature": "; for one call, give temperature",
    "model_name": "; for one call, give model",
}


def body_of(options: Mapping[str, Any], *, max_tokens: int | None, temperature: float | None) -> dict[str, Any]:
    """The options of a call that go to the endpoint, with the model's defaults.

    An option that is None is left out: the endpoint's own default applies.

    Raises:
        ConfigurationError: An option is wrong, or a keyword of the SDK that belongs elsewhere.
    """
    for name in options:
        if name in _HOMES:
            raise ConfigurationError(
                f"{name} is not an option of a model call, it belongs to {_HOMES[name]}{_HINTS.get(name, '')}. An option "
                "of the endpoint with this name goes into extra_body."
            )
    if "stream" in options:
        raise ConfigurationError("stream is not an option: call returns the complete answer, call_stream its pieces")
    if options.get("n") is not None:
        check_count("n", options["n"])
    body: dict[str, Any] = {"temperature": temperature, "stream_options": {}, **options}
    if "max_completion_tokens" not in body:
        body.setdefault("max_tokens", max_tokens)
    if isinstance(body["stream_options"], Mapping):
        body["stream_options"] = {"include_usage": True, **body["stream_options"]}
    return {name: value for name, value in body.items() if value is not None}
