import _loop
import openai_async

import tframex


def connect(url, seconds, tokens):
    return tframex.AsyncOpenAI(base_url=url, api_key="k", timeout=seconds, idle_timeout=seconds, interval=0.05), tokens


if __name__ == "__main__":
    _loop.serve(connect, openai_async.ask, "tframex", "openai")
