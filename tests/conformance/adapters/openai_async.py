import _loop
import openai


def connect(url, seconds, tokens):
    return openai.AsyncOpenAI(base_url=url, api_key="k", timeout=seconds), tokens


async def ask(client, seen):
    official, tokens = client
    stream = await official.chat.completions.create(
        model="fake", messages=[{"role": "user", "content": "q"}], max_tokens=tokens, stream=True
    )
    async for chunk in stream:
        if chunk.choices:
            seen.append(chunk.choices[0].delta.content or "")


if __name__ == "__main__":
    _loop.serve(connect, ask, "openai")
