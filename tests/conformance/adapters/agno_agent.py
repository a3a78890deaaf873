import os

import _loop

os.environ["AGNO_TELEMETRY"] = "false"

from agno.agent import Agent
from agno.models.openai.like import OpenAILike
from agno.run.agent import RunErrorEvent


def connect(url, seconds, tokens):
    return OpenAILike(id="fake", base_url=url, api_key="k", timeout=seconds, max_tokens=tokens)


async def ask(client, seen):
    async for event in Agent(model=client, telemetry=False).arun("q", stream=True):
        if isinstance(event, RunErrorEvent):
            raise RuntimeError(event.content)
        if getattr(event, "content", None):
            seen.append(str(event.content))


if __name__ == "__main__":
    _loop.serve(connect, ask, "agno", "openai")
