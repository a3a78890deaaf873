"""Which endpoint a command talks to: options, the environment, `.env`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import anyio
import typer
from dotenv import dotenv_values

from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    from tframex import sync
    from tframex.model import ModelEntry

__all__ = ["LOCAL", "EndpointOptions", "served"]

M = TypeVar("M")

# Which variable has the key for the URL of another.
_KEYS = {"API_URL": "API_KEY", "OPENAI_BASE_URL": "OPENAI_API_KEY"}
# The small model reads 100 tokens a second and is easily confused: short prompts.
LOCAL: dict[str, Any] = {"context_window": 2048, "slots": 2}


@dataclass(frozen=True)
class EndpointOptions:
    """The options that name the endpoint, the same for every command."""

    api_url: Annotated[
        str | None,
        typer.Option("--api-url", metavar="URL", help="URL of the API. [env: API_URL or OPENAI_BASE_URL]"),
    ] = None
    api_key: Annotated[
        str | None,
        typer.Option(
            "--api-key", metavar="KEY", help="API key; safer in the environment. [env: API_KEY or OPENAI_API_KEY]"
        ),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="NAME", help="Model name; not needed if one is served. [env: MODEL_NAME]"),
    ] = None
    local: Annotated[
        bool, typer.Option("--local", help="Use a small model on this machine instead (window: 2048).")
    ] = False

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """The environment, and below it the file `.env` of this folder."""
        return {**self._file, **os.environ}

    @cached_property
    def _file(self) -> dict[str, str]:
        try:
            found = dotenv_values(".env")
        except (OSError, UnicodeError) as exc:
            raise ConfigurationError(f"the file .env cannot be read ({type(exc).__name__}); save it as UTF-8") from exc
        return {name: value for name, value in found.items() if value is not None}

    @cached_property
    def _address(self) -> tuple[str | None, str]:
        """The URL, and what names it: `"option"`, or a variable and where it is set."""
        if self.api_url:
            return self.api_url, "option"
        for layer, where in ((os.environ, "the environment"), (self._file, ".env")):
            for name in _KEYS:
                if value := layer.get(name, "").strip():
                    return value, f"{name} in {where}"
        return None, ""

    @cached_property
    def _secret(self) -> tuple[str | None, str]:
        """The key, and what names it.

        A key goes only where it belongs: one of the environment never to a URL that a file of this folder names, since the
        folder may belong to someone else; and OPENAI_API_KEY only to OPENAI_BASE_URL.
        """
        if self.api_key:
            return self.api_key, "option"
        url = self._address[1]
        name = _KEYS.get(url.partition(" in ")[0], "API_KEY")
        layers = ((os.environ, "the environment"), (self._file, ".env"))
        for layer, where in layers[1:] if url.endswith(".env") else layers:
            if value := layer.get(name, "").strip():
                return value, f"{name} in {where}"
        return None, ""

    @property
    def url(self) -> str | None:
        """Its URL, or None if it is not set."""
        return self._address[0]

    @property
    def key(self) -> str | None:
        """Its key, or None if it is not set."""
        return self._secret[0]

    @property
    def model_name(self) -> str | None:
        """The model, or None if it is not set."""
        return self.model or self.environ.get("MODEL_NAME", "").strip() or None

    @property
    def sources(self) -> dict[str, str]:
        """What names the URL, the key and the model; those that are not set are missing."""
        model = "option" if self.model else ""
        if not model and self.model_name:
            model = f"MODEL_NAME in {'the environment' if os.environ.get('MODEL_NAME') else '.env'}"
        found = {"url": self._address[1], "key": self._secret[1], "model": model}
        return {name: source for name, source in found.items() if source}

    @property
    def given(self) -> bool:
        """Whether there is one."""
        return self.local or self.url is not None

    def check(self) -> None:
        """Refuse to continue without an endpoint.

        Raises:
            ConfigurationError: None is named.
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

        with self.make(sync.VLLMModel, **settings) as model:
            yield model

    def make(self, kind: type[M], **settings: Any) -> M:
        """The model, of one colour or the other; outside an event loop. Raises what `open` raises.

        Args:
            kind: `tframex.sync.VLLMModel` or `tframex.model.VLLMModel`.
            **settings: Keyword arguments of `VLLMModel`.
        """
        made: Any = kind
        self.check()
        if self.local and self.api_url:
            raise ConfigurationError("--local is an endpoint itself; leave out --api-url or --local")
        if self.local:
            # For the numbers of the environment; this model asks no endpoint.
            named = {"model_name": "local", "api_url": "http://127.0.0.1", "api_key": "none"}
            defaults = made.from_env(self.environ, **named)
            local: M = made.local(
                self.model,
                server=LOCAL,
                default_max_tokens=defaults.default_max_tokens,
                default_temperature=defaults.default_temperature,
                **settings,
            )
            return local
        assert self.url is not None
        key = self.key or "none"
        name = self.model_name or _only(served(self.url, key))
        keywords = {"api_url": self.url, "api_key": key, "model_name": name, **settings}
        opened: M = made.from_env(self.environ, **keywords)
        return opened


def served(url: str, key: str) -> list[ModelEntry]:
    """The models an endpoint serves.

    Raises:
        ConfigurationError: The URL or the key cannot be used.
        ModelError: The endpoint does not say.
    """
    from tframex.model import VLLMModel

    async def ask() -> list[ModelEntry]:
        async with VLLMModel("unknown", url, key) as model:
            return await model.models()

    return anyio.run(ask)


def _only(models: list[ModelEntry]) -> str:
    if len(models) == 1:
        return models[0].name
    names = ", ".join(model.name for model in models[:20])
    raise ConfigurationError(
        f"the endpoint serves {len(models)} models{f' ({names})' if names else ''}: choose one with --model NAME, or set "
        "MODEL_NAME"
    )
