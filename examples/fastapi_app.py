"""A web service that streams an agent's answers as server-sent events.

    uvicorn --app-dir examples fastapi_app:app
    curl -N "http://127.0.0.1:8000/ask?question=Name+three+colours."

The endpoint comes from API_URL, API_KEY and MODEL_NAME. A browser that closes the
page ends the request: the generator is cancelled, its connection is closed, and the
server stops generating.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse

from tframex import BasicAgent, TFrameXError, VLLMModel


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """One model for the service: it keeps the connections."""
    async with VLLMModel.from_env() as model:
        app.state.agent = BasicAgent("web", model, system_prompt="Answer plainly.")
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/ask")
async def ask(question: str, request: Request) -> StreamingResponse:
    """The answer as it comes: an event for each piece, then `done` or `error`."""
    agent = request.app.state.agent
    return StreamingResponse(events(agent, question), media_type="text/event-stream")


async def events(agent: BasicAgent, question: str) -> AsyncIterator[str]:
    """Server-sent events with the pieces of an answer as JSON."""
    try:
        async with aclosing(agent.stream(question)) as pieces:
            async for piece in pieces:
                yield f"data: {json.dumps(piece)}\n\n"
    except TFrameXError as error:
        # The status has been sent already: the stream must report later errors.
        yield f"event: error\ndata: {json.dumps(str(error))}\n\n"
    else:
        yield "event: done\ndata: null\n\n"
