import _loop
from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, Runner, set_tracing_disabled
from openai import AsyncOpenAI

set_tracing_disabled(True)


def connect(url, seconds, tokens):
    official = AsyncOpenAI(base_url=url, api_key="k", timeout=seconds)
    model = OpenAIChatCompletionsModel("fake", openai_client=official)
    return Agent("agent", model=model, model_settings=ModelSettings(max_tokens=tokens))


async def ask(client, seen):
    async for event in Runner.run_streamed(client, "q").stream_events():
        if event.type == "raw_response_event" and event.data.type == "response.output_text.delta":
            seen.append(event.data.delta)


if __name__ == "__main__":
    _loop.serve(connect, ask, "openai-agents", "openai")
