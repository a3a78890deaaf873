import _loop
from tframex_stream import connect


async def ask(client, seen):
    async for piece in client.call_stream([{"role": "user", "content": "q"}], interval=0.05):
        seen.append(piece)


if __name__ == "__main__":
    _loop.serve(connect, ask, "tframex", "openai")
