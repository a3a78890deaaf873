"""An agent with tools: it looks things up, calls what it needs, and answers with a value of a type."""

from __future__ import annotations

import asyncio
from typing import Literal

from _setup import get_model
from pydantic import BaseModel

from tframex import ToolAgent, ToolContext, tool
from tframex.events import RunFinished, ToolResult

STOCK = {"lamp": 3, "lens": 0, "rope": 12}
Part = Literal["lamp", "lens", "rope"]


class Report(BaseModel):
    """What is to be said about a part."""

    part: Part
    in_stock: int
    enough: bool


@tool(on_uncertain="retry")
def look_up(part: Part) -> str:
    """How many pieces of a part there are.

    Args:
        part: The part.
    """
    return f"{STOCK[part]} pieces of {part} in stock"


@tool(on_uncertain="key", timeout=10)
async def order(context: ToolContext, part: Part, pieces: int) -> str:
    """Order pieces of a part.

    Args:
        context: The run, which the model does not see.
        part: The part.
        pieces: How many.
    """
    # A shop that takes such a key delivers once, however often it is sent.
    return f"ordered {pieces} pieces of {part}, order {context.key[:8]}"


async def main() -> None:
    """Show each call and its result, then the answer."""
    async with get_model() as model:
        agent = ToolAgent("keeper", model, [look_up, order], output_type=Report)
        question = "Do we have a lens for the lighthouse? We need one."
        # The small local model needs to be told when to look and when to answer.
        async for event in agent.events(question, tool_choice=["look_up", "none"]):
            if isinstance(event, ToolResult):
                print(f"{event.call.name}({event.call.arguments}) -> {event.content}")
            elif isinstance(event, RunFinished):
                print(event.result.output)


if __name__ == "__main__":
    asyncio.run(main())
