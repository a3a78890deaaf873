"""The official client that a model holds on one event loop, and how it is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread

from tframex.errors import ConfigurationError, WrongLoopError
from tframex.exchange import Endpoint
from tframex.tasks import LoopBound

if TYPE_CHECKING:
    import httpx2
    import openai

    from tframex.local import LocalServer

__all__ = ["Connection", "Connector"]


class Connection:
    """A client on one event loop.

    Args:
        endpoint: The client and its names.
        owned: Whether closing the connection closes the client.
    """

    def __init__(self, endpoint: Endpoint, *, owned: bool) -> None:
        self.endpoint = endpoint
        self._owned = owned

    async def aclose(self) -> None:
        """Close the client, if it is ours."""
        if self._owned:
            await self.endpoint.client.close()


class Connector:
    """Makes the connection of the running loop when it is first needed, and closes it with the loop.

    Args:
        model_id: The served name.
        url: Where the API is.
        api_key: Its key.
        connect_timeout: Seconds to connect; None is no limit.
        max_connections: Calls in flight concurrently; None is no limit.
        default_headers: Headers for every request.
        http_client: The user's own HTTP client, or None.

    Attributes:
        url: Where the API is; that of a local server is known when it has started.
        official: Returns the user's official client, with whether it is then ours to close; None: we make one.
        server: The local server to start first, or None.
        moved: Called when a local server has started at another URL.
    """

    def __init__(
        self,
        model_id: str,
        url: str,
        api_key: str,
        *,
        connect_timeout: float | None,
        max_connections: int | None,
        default_headers: Mapping[str, str] | None,
        http_client: httpx2.AsyncClient | None,
    ) -> None:
        self.url = url
        self.official: tuple[Callable[[], openai.AsyncOpenAI], bool] | None = None
        self.server: LocalServer | None = None
        self.moved: Callable[[], None] = _nothing
        self._model_id = model_id
        self._api_key = api_key
        self._connect_timeout = connect_timeout
        self._max_connections = max_connections
        self._default_headers = default_headers
        self._http_client = http_client
        self._connection = LoopBound(self._connect, Connection.aclose)

    async def get(self) -> Connection:
        """The connection of the running loop.

        Raises:
            WrongLoopError: Another loop that is alive has one.
            LocalServerError: The local server did not start.
        """
        if self.server is not None:
            await self._start(self.server)
        connection = await self._connection.get()
        if connection is None:
            raise WrongLoopError(
                f"model {self._model_id!r} is in use on another event loop that is still alive. One model object "
                "belongs to one loop at a time: make one for each loop, or use tframex.sync from threads.",
                model_id=self._model_id,
            )
        return connection

    def __getstate__(self) -> dict[str, Any]:
        if self.official is not None or self._http_client is not None:
            raise ConfigurationError(
                f"model {self._model_id!r} cannot be pickled or copied deeply: it uses a client of yours, whose "
                "connections belong to this process. Make the model in the process that uses it."
            )
        return dict(vars(self))

    async def endpoint(self) -> Endpoint:
        """The endpoint, on the running loop.

        Raises:
            WrongLoopError: Another loop that is alive has a connection.
            LocalServerError: The local server did not start.
        """
        return (await self.get()).endpoint

    async def aclose(self) -> None:
        """Close the connection, and stop the local server."""
        await self._connection.aclose()
        if self.server is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.server.stop)

    async def _start(self, server: LocalServer) -> None:
        await anyio.to_thread.run_sync(server.start)
        if self.url != server.url:
            await self._connection.aclose()
            self.url = server.url
            self.moved()

    def _connect(self) -> Connection:
        from tframex.exchange.transport import make_async_client, transport_timeout

        if self.official is not None:
            make, owned = self.official
            client = make()
        else:
            owned = self._http_client is None
            client = make_async_client(
                base_url=self.url,
                api_key=self._api_key,
                timeout=transport_timeout(self._connect_timeout),
                max_connections=self._max_connections,
                default_headers=self._default_headers,
                http_client=self._http_client,
                # A local server is not reached through the environment's proxy.
                trust_env=self.server is None,
            )
        return Connection(Endpoint.of(client, self._model_id), owned=owned)


def _nothing() -> None:
    """Do nothing when the server moves."""
