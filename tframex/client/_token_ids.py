"""Asking for the ids of tokens, so that a text completion that breaks off continues from exactly them."""

from __future__ import annotations

from typing import Any

import openai

from tframex.client._shared import Shared
from tframex.client._streams import AsyncCompletionStream, CompletionStream
from tframex.exchange import TextRequest

__all__ = ["asking_for_ids", "refused_ids"]

_NAME = "return_token_ids"


def asking_for_ids(client: Any, stream_cls: Any, options: Any) -> Any:
    """The request with the wish for token ids; None if it cannot be continued, or the endpoint may not have them."""
    if stream_cls not in (AsyncCompletionStream, CompletionStream):
        return None
    shared: Shared = client._tframex
    body = {**(options.json_data or {}), **(options.extra_json or {})}
    if shared.resume != "auto" or _NAME in body:
        return None
    model = str(body.get("model") or "")
    if not shared.of(str(client.base_url), model).token_ids:
        return None
    if not TextRequest(model, [], body, prompt=body.get("prompt")).allows_token_ids:
        return None
    asking = options.model_copy()
    asking.json_data = {**(options.json_data or {}), _NAME: True}
    return asking


def refused_ids(client: Any, asking: Any, error: openai.APIStatusError) -> bool:
    """Whether a request was refused because of the token ids that we, not the user, asked for; that is not tried again."""
    if error.status_code not in (400, 422) or _NAME not in str(error):
        return False
    shared: Shared = client._tframex
    shared.of(str(client.base_url), str(asking.json_data.get("model") or "")).refuses_ids()
    return True
