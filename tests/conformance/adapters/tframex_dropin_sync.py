import _loop
import openai_sync

import tframex


def connect(url, seconds, tokens):
    return tframex.OpenAI(base_url=url, api_key="k", timeout=seconds), tokens


if __name__ == "__main__":
    _loop.serve(connect, openai_sync.ask, "tframex", "openai")
