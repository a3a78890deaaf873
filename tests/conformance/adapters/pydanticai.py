import _loop
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


def connect(url, seconds, tokens):
    model = OpenAIChatModel("fake", provider=OpenAIProvider(base_url=url, api_key="k"))
    return Agent(model, model_settings={"timeout": seconds, "max_tokens": tokens})


async def ask(client, seen):
    async with client.run_stream("q") as result:
        async for piece in result.stream_text(delta=True):
            seen.append(piece)


if __name__ == "__main__":
    _loop.serve(connect, ask, "pydantic-ai-slim", "openai")
