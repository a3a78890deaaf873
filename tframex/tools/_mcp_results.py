"""The result of a call to an MCP server, as the text that the model reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from tframex.tools._failures import ToolFailure
from tframex.tools._result import as_text

if TYPE_CHECKING:
    from mcp import types

__all__ = ["result_text"]


def result_text(result: types.CallToolResult, name: str) -> str:
    """Texts as they are, structured content that is not in them as JSON, and what is no text described.

    Args:
        result: What the server has returned.
        name: The tool.

    Raises:
        ToolFailure: The server says that the call has failed; the message is for the model.
    """
    blocks = [_described(block) for block in result.content]
    structured = result.structured_content
    if structured is not None and not _is_said(structured, blocks):
        blocks.append(as_text(structured, name))
    text = "\n".join(block for block in blocks if block)
    if result.is_error:
        raise ToolFailure(text or f"{name} has failed, and the server does not say why.")
    return text


def _is_said(structured: Any, blocks: Sequence[str]) -> bool:
    """Whether the texts are the structured content: most servers send it in both forms."""
    said: list[Any] = ["\n".join(blocks), list(blocks), *_parsed(["\n".join(blocks)]), [*_parsed(blocks)]]
    # The official servers put what is no object into one.
    inner = structured["result"] if isinstance(structured, dict) and list(structured) == ["result"] else structured
    return any(form in (structured, inner) for form in said)


def _parsed(texts: Sequence[str]) -> Iterator[Any]:
    for text in texts:
        with suppress(ValueError):
            yield json.loads(text)


def _described(block: Any) -> str:
    if block.type == "text":
        return str(block.text)
    if block.type == "resource_link":
        about = f": {block.description}" if block.description else ""
        return f"[The resource {block.name}, {block.uri}{_kind(block)}{about}]"
    if block.type == "resource":
        inner = block.resource
        text = getattr(inner, "text", None)
        if text is None:
            return f"[The resource {inner.uri}{_kind(inner)}, {_size(inner.blob)}; it is not shown.]"
        return f"[The resource {inner.uri}{_kind(inner)}:]\n{text}"
    # An image, a sound, or what a later version of the protocol has.
    data = getattr(block, "data", None)
    size = f", {_size(data)}" if isinstance(data, str) else ""
    return f"[A result of the type {block.type}{_kind(block)}{size}; it is not shown.]"


def _kind(block: Any) -> str:
    kind = getattr(block, "mime_type", None)
    return f" ({kind})" if kind else ""


def _size(data: str) -> str:
    """The size of what is encoded in base64."""
    return f"{len(data) * 3 // 4 - data[-2:].count('=')} bytes"
