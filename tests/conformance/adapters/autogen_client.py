import _loop
from autogen_core.models import UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient

INFO = {
    "vision": False,
    "function_calling": False,
    "json_output": False,
    "family": "unknown",
    "structured_output": False,
}


def connect(url, seconds, tokens):
    settings = {"timeout": seconds, "model_info": INFO, "max_tokens": tokens}
    return OpenAIChatCompletionClient(model="fake", base_url=url, api_key="k", **settings)


async def ask(client, seen):
    async for piece in client.create_stream([UserMessage(content="q", source="user")]):
        if isinstance(piece, str):
            seen.append(piece)


if __name__ == "__main__":
    _loop.serve(connect, ask, "autogen-ext", "openai")
