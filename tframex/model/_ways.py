"""The ways in which an endpoint takes tools and typed answers, as far as it has shown them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tframex.model.output import Output
from tframex.servers import OutputForm, ToolRung

if TYPE_CHECKING:
    from tframex.model.base import BaseModel

__all__ = ["Ways", "output_ways", "tool_ways"]


@dataclass(frozen=True)
class Ways:
    """The rungs of a ladder.

    Attributes:
        used: The one that the next request takes.
        refused: Those before it, which the endpoint has refused or turned out not to enforce.
        loose: It has refused the schemas of some tools: calls of those have no grammar.
    """

    used: ToolRung | OutputForm
    refused: tuple[ToolRung | OutputForm, ...]
    loose: bool = False


async def tool_ways(model: BaseModel) -> Ways:
    """How the model's endpoint takes tools."""
    ladder = await model._ladder(model.model_id)
    return Ways(ladder.rungs[-1], ladder.rungs[:-1], bool(ladder._loose))


async def output_ways(model: BaseModel, output: Output[Any]) -> Ways:
    """How the model's endpoint takes answers of a type."""
    outputs, server = await model._outputs({})
    forms = server().output_forms
    used = outputs.forms(server(), json.dumps(output.sent(outputs.without).schema))[0]
    return Ways(used, forms[: forms.index(used)])
