"""Where an MCP server is: a command that starts one, or a URL."""

from __future__ import annotations

import os
import re
import shlex
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from tframex.errors import ConfigurationError
from tframex.exchange import Secrets

__all__ = ["Address"]

# An option of a command whose value is secret, and a URL with a password.
_SECRET_OPTION = re.compile(r"--?[\w-]*(auth|key|token|secret|password|credential)[\w-]*", re.IGNORECASE)
_QUOTED = re.compile(r"""(["']).*\1""", re.DOTALL)
_LOGIN = re.compile(r"://[^/@\s]*@")


class Address:
    """Where an MCP server is, and what it is given.

    Args:
        server: A command as one text or as its words, or a URL.
        headers: Headers of each request, for a URL.
        env: Environment variables, for a command.
        cwd: The folder in which a command runs.

    Attributes:
        command: The words of the command; empty for a URL.
        url: The URL without user, password and query; empty for a command.
        query: Its query, which may have a key in it.
        headers: The headers, with the login of the URL.
        shown: What messages call the server: its program, or its URL without what may be secret.
        secrets: What no message may show.

    Raises:
        ConfigurationError: It is neither, or has settings of the other.
    """

    def __init__(
        self,
        server: str | Sequence[str],
        headers: Mapping[str, str] | None,
        env: Mapping[str, str] | None,
        cwd: str | Path | None,
    ) -> None:
        self.command: tuple[str, ...] = ()
        self.url = self.query = ""
        self.headers = _texts("headers", headers)
        self.env = _texts("env", env)
        self.cwd = cwd
        hidden = [*self.headers.values(), *self.env.values()]
        # "Bearer KEY": the key alone is secret as well.
        hidden += [value.partition(" ")[2] for value in self.headers.values()]
        if isinstance(server, str) and re.match(r"https?://", server, re.IGNORECASE):
            hidden += self._read_url(server)
            if env or cwd is not None:
                raise ConfigurationError("env and cwd are for an MCP server that is a command, not for a URL")
        else:
            self.command = _words(server)
            hidden += _secret_words(self.command)
            if headers:
                raise ConfigurationError("headers are for an MCP server that is a URL; give a command env")
        self.secrets = Secrets(hidden)
        # The words after the program are not shown: they may have a password in them.
        self.shown = self.url or (Path(self.command[0]).name + (" ..." if len(self.command) > 1 else ""))

    def _read_url(self, given: str) -> Iterator[str]:
        try:
            parts = urlsplit(given)
            port = f":{parts.port}" if parts.port else ""
        except ValueError as exc:
            raise ConfigurationError(f"the URL of the MCP server cannot be read: {type(exc).__name__}") from None
        if not parts.hostname:
            raise ConfigurationError("the URL of the MCP server has no host")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.url = urlunsplit((parts.scheme, host + port, parts.path, "", ""))
        self.query = parts.query
        yield from (value for _, value in parse_qsl(parts.query))
        if parts.username is not None:
            login = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self.headers.setdefault("Authorization", f"Basic {b64encode(login).decode()}")
            yield from (parts.password or "", unquote(parts.password or ""), b64encode(login).decode())

    def __repr__(self) -> str:
        return f"Address({self.shown!r})"


def split_command(command: str, *, windows: bool) -> list[str]:
    """The words of a command.

    Args:
        command: The command.
        windows: A backslash is a part of a path there, instead of what makes the next character literal.

    Raises:
        ValueError: A quote is not closed.
    """
    words = shlex.split(command, posix=not windows)
    # Otherwise the quotes would be a part of the program's name, and of its arguments.
    return [word[1:-1] if windows and _QUOTED.fullmatch(word) else word for word in words]


def _words(server: object) -> tuple[str, ...]:
    if isinstance(server, str):
        try:
            words = split_command(server, windows=os.name == "nt")
        except ValueError as exc:
            raise ConfigurationError(
                f"the command of the MCP server cannot be read ({exc}); give its words as a list"
            ) from None
    elif isinstance(server, Sequence):
        words = list(server)
    else:
        words = []
    if not words or not all(isinstance(word, str) for word in words) or not words[0].strip():
        raise ConfigurationError(
            "an MCP server must be a URL, a command such as 'npx -y @modelcontextprotocol/server-everything', or the words "
            f"of one as a list, not {type(server).__name__}"
        )
    return tuple(words)


def _secret_words(words: Sequence[str]) -> Iterator[str]:
    for before, word in zip(("", *words), words, strict=False):
        name, sign, value = word.partition("=")
        if sign and _SECRET_OPTION.fullmatch(name):
            yield value
        elif _SECRET_OPTION.fullmatch(before) or _LOGIN.search(word):
            yield word


def _texts(name: str, given: Mapping[str, str] | None) -> dict[str, str]:
    found = dict(given or {})
    if not all(isinstance(item, str) for pair in found.items() for item in pair):
        raise ConfigurationError(f"{name} must be a mapping of texts to texts")
    return found
