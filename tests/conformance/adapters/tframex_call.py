import _loop

import tframex


def connect(url, seconds, tokens):
    return tframex.VLLMModel("fake", url, "k", tokens, first_token_timeout=seconds, idle_timeout=seconds)


async def ask(client, seen):
    seen.append((await client.call([{"role": "user", "content": "q"}])).text)


if __name__ == "__main__":
    _loop.serve(connect, ask, "tframex", "openai")
