"""The four basic examples: an agent, an agent with context, a chain over a long text, several concurrent calls.

Run one with `python examples/example.py --example 3`, or all of them without an argument.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from _setup import HERE, OUTPUTS, ShowProgress, get_model, save

from tframex.agents import BasicAgent, ContextAgent
from tframex.model import VLLMModel
from tframex.systems import ChainOfAgents, MultiCallSystem


async def basic(model: VLLMModel) -> None:
    """An agent whose answer is shown while it is generated."""
    print("== 1. BasicAgent ==")
    agent = BasicAgent(agent_id="basic", model=model)
    pieces = []
    async for piece in agent.stream("Write a list of five things one finds at a harbour."):
        print(piece, end="", flush=True)
        pieces.append(piece)
    print()
    save("1_basic.txt", "".join(pieces))


async def context(model: VLLMModel) -> None:
    """An agent that answers from a text."""
    print("== 2. ContextAgent ==")
    text = (HERE / "context.txt").read_text(encoding="utf-8")
    agent = ContextAgent(agent_id="guide", model=model, context=text)
    answer = await agent.run("On which evenings are visitors welcome?")
    print(answer)
    save("2_context.txt", answer)


async def chain(model: VLLMModel) -> None:
    """A chain of agents that reads a text longer than the model's context window."""
    print("== 3. ChainOfAgents ==")
    text = (HERE / "longtext.txt").read_text(encoding="utf-8")
    system = ChainOfAgents(system_id="reader", model=model, chunk_size=900, chunk_overlap=60)
    question = "Who was Tobias Wren, and what was the name of his first boat?"
    answer = await system.run(question, text, progress=ShowProgress(), max_tokens=100)
    print(f"{question}\n\n{answer}")
    save("3_chain.txt", answer)


async def multi_call(model: VLLMModel) -> None:
    """The same prompt several times concurrently, each answer in its own file."""
    print("== 4. MultiCallSystem ==")
    system = MultiCallSystem(system_id="names", model=model)
    prompt = "Invent a name for a ferry. Answer with the name alone."
    files = await system.run(prompt, 3, OUTPUTS / "4_multi_call", progress=ShowProgress(), max_tokens=12, temperature=1)
    for call, file in files.items():
        print(f"{call}: {file if file.startswith('ERROR:') else Path(file).read_text(encoding='utf-8')!r}")
    print()


EXAMPLES = [basic, context, chain, multi_call]


async def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--example", type=int, choices=range(1, 5), help="run only this one")
    number = parser.parse_args().example
    async with get_model() as model:
        for example in EXAMPLES if number is None else [EXAMPLES[number - 1]]:
            await example(model)


if __name__ == "__main__":
    asyncio.run(main())
