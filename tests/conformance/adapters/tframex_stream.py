import _loop

import tframex


def connect(url, seconds, tokens):
    return tframex.VLLMModel("fake", url, "k", tokens, first_token_timeout=seconds, idle_timeout=seconds)


async def ask(client, seen):
    async for piece in client.call_stream([{"role": "user", "content": "q"}]):
        seen.append(piece)


if __name__ == "__main__":
    _loop.serve(connect, ask, "tframex", "openai")
