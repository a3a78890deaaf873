"""Your own agent: written once, asynchronously, and used in both colours."""

from __future__ import annotations

import asyncio
from typing import Any

from _setup import get_model

from tframex import BaseAgent
from tframex.model import BaseModel
from tframex.sync import blocking


class CarefulAgent(BaseAgent):
    """Answers, then corrects its own answer.

    Args:
        agent_id: A name for logs and errors.
        model: The model to work with.
        rounds: How many times the answer is corrected.
    """

    def __init__(self, agent_id: str, model: BaseModel, *, rounds: int = 1) -> None:
        super().__init__(agent_id, model)
        self.rounds = rounds

    async def run(self, prompt: str, **options: Any) -> str:
        """The corrected answer to `prompt`."""
        answer = await self._ask(prompt, **options)
        for _ in range(self.rounds):
            answer = await self._ask(f"{prompt}\n\nCorrect this answer where it is wrong:\n{answer}", **options)
        return answer

    async def _ask(self, prompt: str, **options: Any) -> str:
        return await self._stream_and_aggregate([{"role": "user", "content": prompt}], **options)


QUESTION = "In which year did the first steam ferry cross the English Channel?"


async def main() -> None:
    """In asynchronous code."""
    async with get_model() as model:
        print(await CarefulAgent("careful", model).run(QUESTION, max_tokens=60))


def sync_main() -> None:
    """The same agent in synchronous code: it is made with an asynchronous model, and `blocking` does the rest."""
    agent = blocking(CarefulAgent("careful", get_model()))
    with agent.model:
        print(agent.run(QUESTION, max_tokens=60))


if __name__ == "__main__":
    asyncio.run(main())
    sync_main()
