import os

import _loop

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it is fetched

import litellm

litellm.telemetry = False


def connect(url, seconds, tokens):
    return {"api_base": url, "timeout": seconds, "max_tokens": tokens}


async def ask(client, seen):
    stream = await litellm.acompletion(
        model="openai/fake", api_key="k", messages=[{"role": "user", "content": "q"}], stream=True, **client
    )
    async for chunk in stream:
        seen.append(chunk.choices[0].delta.content or "")


if __name__ == "__main__":
    _loop.serve(connect, ask, "litellm", "openai")
