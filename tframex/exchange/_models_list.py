"""What `/v1/models` reports about the models it lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tframex.servers import server_of_headers, server_of_owner

__all__ = ["ModelEntry", "entry_of", "read_json", "read_models"]


@dataclass(frozen=True)
class ModelEntry:
    """What the models list reports about one model.

    Attributes:
        owner: Who serves it, such as `"vllm"` or `"llamacpp"`; empty if not reported.
        window: Tokens that prompt and answer may have together, or None if not reported.
        name: The name in the list.
    """

    owner: str = ""
    window: int | None = None
    name: str = ""


def read_json(response: Any) -> dict[str, Any]:
    """The JSON object of a response, empty if it is none."""
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def read_models(body: Mapping[str, Any]) -> list[ModelEntry]:
    """Every model of the list."""
    data = body.get("data")
    return [_entry(entry) for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def entry_of(model: str, listed: list[ModelEntry], headers: Mapping[str, str]) -> ModelEntry:
    """What a list reports about one model; an empty entry if the model is not on it.

    A gateway lists models of several kinds of servers and may answer under names that it does not list. Only llama.cpp
    itself (not a proxy in front of it, which sends its own headers) serves its one model under any name.

    Args:
        model: The name.
        listed: The list.
        headers: The headers of the response with the list.
    """
    found = next((entry for entry in listed if entry.name == model), None)
    if found is None and len(listed) == 1 and server_of_headers(headers).any_name:
        return listed[0]
    return found or ModelEntry()


def _entry(entry: dict[str, Any]) -> ModelEntry:
    owner = str(entry.get("owned_by") or "")
    window = entry.get(server_of_owner(owner).window_entry)
    return ModelEntry(owner, window if isinstance(window, int) else None, str(entry.get("id") or ""))
