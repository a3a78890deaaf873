"""The official client, or ours, with one of the other APIs.

`python apis.py LIBRARY COLOUR API`, such as `python apis.py tframex async stored`.
"""

import sys
from importlib import import_module

import _loop

LIBRARY, COLOUR, API = sys.argv[1:4]


def connect(url, seconds, tokens):
    library = import_module(LIBRARY)
    kind = library.AsyncOpenAI if COLOUR == "async" else library.OpenAI
    ours = {"idle_timeout": seconds} if LIBRARY == "tframex" and COLOUR == "async" else {}
    return kind(base_url=url, api_key="k", timeout=seconds, **ours), tokens


def asked(client, tokens):
    if API == "completions":
        return client.completions.create(model="fake", prompt="q", max_tokens=tokens, stream=True)
    stored = {"background": True} if API == "stored" else {}
    return client.responses.create(model="fake", input="q", max_output_tokens=tokens, stream=True, **stored)


def said(item):
    if API == "completions":
        return item.choices[0].text if item.choices else ""
    return item.delta if item.type == "response.output_text.delta" else ""


async def ask(client, seen):
    async for item in await asked(*client):
        seen.append(said(item))


def ask_sync(client, seen):
    for item in asked(*client):
        seen.append(said(item))


if __name__ == "__main__":
    _loop.serve(connect, ask if COLOUR == "async" else ask_sync, LIBRARY)
