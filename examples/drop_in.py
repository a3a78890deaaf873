"""A program written for the openai client, with one line changed: its streams are now continued where they break."""

from __future__ import annotations

import os

from tframex import OpenAI  # was: from openai import OpenAI


def main() -> None:
    """Stream an answer to the terminal."""
    client = OpenAI(base_url=os.environ["API_URL"], api_key=os.environ.get("API_KEY", "none"))
    stream = client.chat.completions.create(
        model=os.environ["MODEL_NAME"],
        messages=[{"role": "user", "content": "Name three colours."}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        elif chunk.usage is not None:
            print(f"\n{chunk.usage.completion_tokens} tokens")
    client.close()


if __name__ == "__main__":
    main()
