import os

import _loop

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"

from haystack.components.generators.chat import OpenAIChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.utils import Secret


def connect(url, seconds, tokens):
    settings = {"timeout": seconds, "generation_kwargs": {"max_tokens": tokens}}
    return OpenAIChatGenerator(api_key=Secret.from_token("k"), model="fake", api_base_url=url, **settings)


async def ask(client, seen):
    async def show(chunk):
        seen.append(chunk.content)

    await client.run_async([ChatMessage.from_user("q")], streaming_callback=show)


if __name__ == "__main__":
    _loop.serve(connect, ask, "haystack-ai", "openai")
