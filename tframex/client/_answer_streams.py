"""The official stream objects, with our decoder and our drivers inside."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from openai import AsyncStream, Stream

from tframex.client._errors import clean, official, reason
from tframex.errors import ModelError
from tframex.exchange import Answering, Clocks, Endpoint, drive, drive_sync, hang_up
from tframex.tasks import Closing

__all__ = ["AnswerStream", "AsyncAnswerStream", "Source"]

T = TypeVar("T")


@dataclass(frozen=True)
class Source(Generic[T]):
    """Where the objects of a stream come from.

    Attributes:
        exchange: The state of the answer.
        model: The served name, for error messages.
        make: Makes the objects of what one network read returned.
    """

    exchange: Answering
    model: str
    make: Callable[[Any], Iterator[T]]


class AsyncAnswerStream(AsyncStream[T]):
    """`AsyncStream` for a fraction of the cost, whose answers are complete or end with an error."""

    _exchange: Answering | None = None

    def _source(self) -> Source[T]:
        raise NotImplementedError

    async def __stream__(self) -> AsyncIterator[T]:
        client: Any = self._client
        source = self._source()
        exchange = self._exchange = source.exchange
        endpoint = Endpoint.of(client, source.model)
        clocks, pace = Clocks(idle=client._tframex.idle_timeout), client._tframex.pace
        try:
            async with Closing(drive(exchange, endpoint, clocks, opened=self.response, pace=pace)) as batches:
                async for batch in batches:
                    for item in source.make(batch):
                        yield item
                        if exchange.closed:
                            return
                    if exchange.closed:
                        return
        except ModelError as error:
            begun = bool(error.partial) or exchange.reader.begun
            raised = official(error, self.response.request, begun=begun)
            raise clean(client, self._options, raised) from reason(error, begun=begun)

    def __aiter__(self) -> AsyncIterator[T]:
        return self._iterator

    async def close(self) -> None:
        """Close the response and release the connection; a reader in another task gets nothing more, either."""
        exchange = self._exchange
        if exchange is not None:
            exchange.leave()
        aclose = getattr(self._iterator, "aclose", None)
        if aclose is not None:
            try:
                await aclose()
            except RuntimeError:  # Another task is reading: the closed response ends its wait.
                if exchange is not None and exchange.response is not None:
                    await exchange.response.aclose()
        await super().close()


class AnswerStream(Stream[T]):
    """`Stream` for a fraction of the cost, whose answers are complete or end with an error."""

    _exchange: Answering | None = None

    def _source(self) -> Source[T]:
        raise NotImplementedError

    def __stream__(self) -> Iterator[T]:
        client: Any = self._client
        source = self._source()
        exchange = self._exchange = source.exchange
        batches = drive_sync(exchange, client, source.model, self.response, client._tframex.pace)
        try:
            for batch in batches:
                for item in source.make(batch):
                    yield item
                    if exchange.closed:
                        return
                if exchange.closed:
                    return
        except ModelError as error:
            begun = bool(error.partial) or exchange.reader.begun
            raised = official(error, self.response.request, begun=begun)
            raise clean(client, self._options, raised) from reason(error, begun=begun)
        finally:
            batches.close()

    def __iter__(self) -> Iterator[T]:
        return self._iterator

    def close(self) -> None:
        """Close the response and release the connection; a reader in another thread gets nothing more, either."""
        exchange = self._exchange
        if exchange is not None:
            exchange.leave()
        close = getattr(self._iterator, "close", None)
        if close is not None:
            try:
                close()
            except ValueError:  # Another thread is reading: the closed connection ends its wait.
                if exchange is not None and exchange.response is not None:
                    hang_up(exchange.response)
        super().close()
