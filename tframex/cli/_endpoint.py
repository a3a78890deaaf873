"""Which endpoint a command talks to: options, the environment, `.env`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer
from dotenv import dotenv_values

from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync
    from tframex.model._lookup import Served

__all__ = ["LOCAL", "Endpoint", "served"]

# The small model reads 100 tokens a second and is easily confused: short prompts.
LOCAL: dict[str, Any] = {"context_window": 2048, "slots": 2}


@dataclass(frozen=True)
class Endpoint:
    """The options that name the endpoint, the same for every command."""

    api_url: Annotated[
        str | None, typer.Option("--api-url", metavar="URL", help="Its URL. [env: API_URL or OPENAI_BASE_URL]")
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", metavar="KEY", help="Its key; safer in the environment. [env: API_KEY or OPENAI_API_KEY]"
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="The model; not needed if one is served. [env: MODEL_NAME]"),
    ] = None
    local: Annotated[bool, typer.Option("--local", help="Use the small model on this machine instead.")] = False

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment, and below it the file `.env` of this folder."""
        found = {name: value for name, value in dotenv_values(".env").items() if value is not None}
        return {**found, **os.environ}

    @property
    def url(self) -> str | None:
        """Where it is, if anybody says."""
        return self.api_url or self._variable("API_URL", "OPENAI_BASE_URL")

    @property
    def key(self) -> str | None:
        """Its key, if anybody says."""
        return self.api_key or self._variable("API_KEY", "OPENAI_API_KEY")

    @property
    def model_name(self) -> str | None:
        """The model, if anybody says."""
        return self.model or self._variable("MODEL_NAME")

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self.local or self.url is not None

    def check(self) -> None:
        """Refuse to go on without an endpoint.

        Raises:
            ConfigurationError: Nobody says which one.
        """
        if not self.given:
            raise ConfigurationError(
                "no endpoint: give --api-url URL, or set API_URL in the environment or in a file .env; or use the small "
                "model on this machine with --local"
            )

    @contextmanager
    def open(self, **settings: Any) -> Iterator[sync.VLLMModel]:
        """The model, until the block ends.

        Args:
            **settings: Keyword arguments of `VLLMModel`.

        Raises:
            ConfigurationError: Something is missing or wrong.
            ModelError: The endpoint was to say which model it serves, and did not.
        """
        from tframex import sync

        self.check()
        if self.local:
            model = sync.VLLMModel.local(self.model, server=LOCAL, **settings)
        else:
            assert self.url is not None
            key = self.key or "none"
            name = self.model_name or _only(served(self.url, key))
            keywords = {"api_url": self.url, "api_key": key, "model_name": name, **settings}
            model = sync.VLLMModel.from_env(self.environ, **keywords)
        with model:
            yield model

    def source(self, given: str | None, *names: str) -> str:
        """Who has said something: an option, the environment or `.env`; empty if nobody did."""
        if given:
            return "option"
        name = next((name for name in names if self.environ.get(name, "").strip()), "")
        return name and f"{name} in {'the environment' if name in os.environ else '.env'}"

    def _variable(self, *names: str) -> str | None:
        return next((value for name in names if (value := self.environ.get(name, "").strip())), None)


def served(url: str, key: str) -> list[Served]:
    """The models an endpoint serves.

    Raises:
        ConfigurationError: The URL or the key cannot be used.
        ModelError: The endpoint does not say.
    """
    from tframex.model import VLLMModel

    async def ask() -> list[Served]:
        async with VLLMModel("unknown", url, key) as model:
            return await model._knowledge.models()

    return anyio.run(ask)


def _only(models: list[Served]) -> str:
    if len(models) == 1:
        return models[0].name
    names = ", ".join(model.name for model in models[:20])
    raise ConfigurationError(
        f"the endpoint serves {len(models)} models{f' ({names})' if names else ''}: choose one with --model NAME, or set "
        "MODEL_NAME"
    )
