import _loop
from smolagents import OpenAIModel
from smolagents.models import ChatMessage, MessageRole


def connect(url, seconds, tokens):
    return OpenAIModel("fake", api_base=url, api_key="k", client_kwargs={"timeout": seconds}, max_tokens=tokens)


def ask(client, seen):
    asked = [ChatMessage(role=MessageRole.USER, content=[{"type": "text", "text": "q"}])]
    for delta in client.generate_stream(asked):
        seen.append(delta.content or "")


if __name__ == "__main__":
    _loop.serve(connect, ask, "smolagents", "openai")
