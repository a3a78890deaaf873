"""From the messages and options of a call to what sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tframex._checks import check_messages
from tframex._types import Messages
from tframex.exchange import GATHER, ChatRequest, Exchange
from tframex.model._model_call import ModelCall
from tframex.model._settings import Settings, body_of

if TYPE_CHECKING:
    from tframex.model._exchange_model import ExchangeModel

__all__ = ["make_call"]


def make_call(
    model: ExchangeModel,
    messages: Messages,
    options: dict[str, Any],
    *,
    restartable: bool,
    shown: bool = True,
    validated: bool = False,
) -> ModelCall:
    """The call of a model with these messages and options.

    Args:
        model: The model.
        messages: The conversation.
        options: Options of the API and settings for this call; they are not changed.
        restartable: Whether an answer that cannot be continued may start over.
        shown: Whether the text is shown while it grows.
        validated: Whether the answer is validated when it is complete.

    Raises:
        ConfigurationError: The messages or an option are wrong.
    """
    check_messages(messages)
    options = dict(options)
    settings = model._settings.override(options)
    name = options.pop("model", model.model_id)
    body = body_of(options, max_tokens=model.default_max_tokens, temperature=model.default_temperature)
    # A user's official client has its own timeout.
    connecting = Settings.connect_timeout if model._connector.official else model._settings.connect_timeout
    if settings.connect_timeout != connecting and "timeout" not in body:
        from tframex.exchange.transport import transport_timeout

        body["timeout"] = transport_timeout(settings.connect_timeout)
    exchange = Exchange(
        ChatRequest.build(name, messages, body, validated=validated),
        served=model._lookup.served_as(name),
        budget=model._budget,
        model_id=model.model_id,
        max_retries=settings.max_retries,
        resume=settings.resume,
        restartable=restartable,
        limit=model.limit,
        reasoning=settings.reasoning,
    )
    # One of several answers that loops must not end the others.
    repeats = settings.max_repeats if options.get("n") in (None, 1) else None
    pace = settings.pace if shown else GATHER
    return ModelCall(exchange, settings.clocks, model.model_id, model.limit, repeats, pace)
