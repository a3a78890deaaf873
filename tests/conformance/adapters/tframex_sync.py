import _loop

from tframex import sync


def connect(url, seconds, tokens):
    return sync.VLLMModel("fake", url, "k", tokens, first_token_timeout=seconds, idle_timeout=seconds)


def ask(client, seen):
    for piece in client.call_stream([{"role": "user", "content": "q"}]):
        seen.append(piece)


if __name__ == "__main__":
    _loop.serve(connect, ask, "tframex", "openai")
