import _loop
from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike


def connect(url, seconds, tokens):
    settings = {"is_chat_model": True, "timeout": seconds, "max_tokens": tokens, "context_window": 8192}
    return OpenAILike(model="fake", api_base=url, api_key="k", **settings)


async def ask(client, seen):
    async for response in await client.astream_chat([ChatMessage(role="user", content="q")]):
        seen.append(response.delta or "")


if __name__ == "__main__":
    _loop.serve(connect, ask, "llama-index-llms-openai-like", "openai")
