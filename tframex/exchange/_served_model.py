"""What is known of one model at one endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from tframex.exchange._output_ladder import OutputLadder
from tframex.exchange._retry import RetryBudget
from tframex.exchange._wire import Chunk
from tframex.servers import UNKNOWN, ServerKind, ToolRung, server_of_chunk, server_of_headers, server_of_owner

__all__ = ["ServedModel"]


@dataclass
class ServedModel:
    """Learned from what the endpoint sends anyway or from asking it once, and corrected when a guess was wrong.

    Attributes:
        server: Which kind of server it is.
        token_ids: It sends token ids when asked, so that an answer can be continued token-exactly.
        refused_ids: A request was refused because of its token ids: whoever it is may be behind a gateway.
        continues: It continues a partial assistant message. None: unknown.
        probed: The models list was asked who serves it.
        window: Tokens that prompt and answer may have together, or None.
        described: The models list was read for all that it reports: `window` None then means not reported.
        tools_refused: The ways to call tools that it has refused, or turned out not to enforce.
        budget: The retries that are left.
        outputs: How it takes the schemas of typed answers.
    """

    server: ServerKind = UNKNOWN
    token_ids: bool = False
    refused_ids: bool = False
    continues: bool | None = None
    probed: bool = False
    window: int | None = None
    described: bool = False
    tools_refused: set[ToolRung] = field(default_factory=set)
    budget: RetryBudget = field(default_factory=RetryBudget)
    outputs: OutputLadder = field(default_factory=OutputLadder)

    def learn_from_headers(self, headers: Mapping[str, str]) -> None:
        """Learn from the headers of any response."""
        if self.server is UNKNOWN:
            self._is(server_of_headers(headers))

    def learn_from_chunk(self, chunk: Chunk) -> None:
        """Learn from the first chunk of an answer, which takes precedence over the models list."""
        prompt_ids = chunk.prompt_token_ids is not msgspec.UNSET
        server = server_of_chunk(prompt_ids=prompt_ids, fingerprint=chunk.system_fingerprint)
        if server is not UNKNOWN:
            self._is(server)
            # A version whose chunks lack the field does not send ids yet.
            self.token_ids = not self.refused_ids and (self.token_ids or (prompt_ids and server.token_ids))

    def learn_from_owner(self, owner: str) -> None:
        """Learn from `owned_by` of the models list."""
        if self.server is UNKNOWN:
            self._is(server_of_owner(owner))
            # A version that does not send ids yet ignores the option.
            self.token_ids = self.server.token_ids and not self.refused_ids

    def refuses_ids(self) -> None:
        """Note that a request was refused because of its token ids."""
        self.token_ids, self.refused_ids = False, True

    def forget(self) -> None:
        """Forget what the models list reported: the model has moved."""
        self.window, self.described = None, False
        self.tools_refused.clear()

    def _is(self, server: ServerKind) -> None:
        self.server = server
        if self.continues is None:
            self.continues = server.continues
