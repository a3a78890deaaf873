import _loop
from langchain_openai import ChatOpenAI


def connect(url, seconds, tokens):
    return ChatOpenAI(model="fake", base_url=url, api_key="k", timeout=seconds, max_tokens=tokens)


async def ask(client, seen):
    async for chunk in client.astream("q"):
        seen.append(chunk.content)


if __name__ == "__main__":
    _loop.serve(connect, ask, "langchain-openai", "openai")
