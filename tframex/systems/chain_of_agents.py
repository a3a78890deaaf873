"""Reading a text that is longer than the context window."""

from __future__ import annotations

from typing import Any

from tframex._checks import check_count
from tframex._logging import get_logger
from tframex._progress import Progress, ProgressCallback
from tframex._thinking import strip_thinking
from tframex.agents.base import check_prompt
from tframex.agents.basic import BasicAgent
from tframex.chunking import Chunk, check_budget, chunk_text
from tframex.errors import ChunkingError
from tframex.model.base import BaseModel
from tframex.systems._prompts import answer_prompt, direct_prompt, worker_prompt
from tframex.systems.base import BaseSystem
from tframex.tokens import TokenCounter, default_counter

__all__ = ["ChainOfAgents"]

# Where neither the window nor a chunk size is known: a size that every current model takes.
_CAREFUL_CHUNK = 2000
_DEFAULT_ANSWER = 1024
_OVERLAP = 100
# What shapes the answer does not shape the notes.
_ANSWER_ONLY = frozenset(
    {"max_completion_tokens", "response_format", "structured_outputs", "stop", "n", "tools", "logprobs"}
)

log = get_logger("tframex.systems")


class ChainOfAgents(BaseSystem):
    """Reads a long text chunk by chunk and carries notes along; at the end a manager answers from the notes.

    After "Chain of Agents" (Zhang et al., NeurIPS 2024, arXiv 2406.02818): each worker sees the task, the notes of the one
    before and the next chunk, and writes new notes. A text that fits into one chunk is answered directly.

    Args:
        system_id: A name for logs and errors.
        model: The model to work with.
        chunk_size: The most tokens of a chunk. None: as many as fit into the model's `context_window`, or 2000 where that
            is not known.
        chunk_overlap: Tokens that neighbouring chunks share, so that no sentence loses its context. None: 100, but at most
            a quarter of the chunk.
        max_notes: The most tokens of the notes. None: what an answer may have, but at most an eighth of the window.
        counter: What counts tokens; the default uses cl100k.

    Raises:
        ConfigurationError: An argument is out of range.
    """

    def __init__(
        self,
        system_id: str,
        model: BaseModel,
        chunk_size: int | None = None,
        chunk_overlap: int | None = None,
        *,
        max_notes: int | None = None,
        counter: TokenCounter | None = None,
    ) -> None:
        super().__init__(system_id, model)
        if chunk_overlap is not None:
            check_count("chunk_overlap", chunk_overlap, least=0, unit="tokens")
        if chunk_size is not None:
            check_budget(chunk_size, chunk_overlap or 0)
        if max_notes is not None:
            check_count("max_notes", max_notes, unit="tokens")
        self.chunk_size = chunk_size
        self.chunk_overlap = chunk_overlap
        self.max_notes = max_notes
        self._counter = counter

    async def run(
        self,
        initial_prompt: str,
        long_text: str,
        *,
        progress: ProgressCallback | None = None,
        **options: Any,
    ) -> str:
        """Carry out a task on a long text.

        Costs one model call for each chunk and one for the answer.

        Args:
            initial_prompt: The task: a question, "Summarize this", ...
            long_text: The text.
            progress: Called after each step.
            **options: Options for the model; `max_tokens` is that of the answer.

        Raises:
            ConfigurationError: The task or the text is empty.
            ChunkingError: The task and the answer leave no room for any text.
            ModelError: A call failed.
        """
        task = check_prompt(initial_prompt, "initial_prompt")
        text = check_prompt(long_text, "long_text")
        counter = self._counter or default_counter()
        answer_tokens = _answer_tokens(self.model, options)
        notes_tokens = self.max_notes or min(answer_tokens, (self.model.context_window or 8 * answer_tokens) // 8)
        chunks = self._chunks(task, text, counter, answer_tokens, notes_tokens)
        agent = BasicAgent(self.system_id, self.model)
        total = len(chunks) + 1 if len(chunks) > 1 else 1

        def report(stage: str, done: int, detail: str) -> None:
            if progress is not None:
                progress(Progress(stage, done, total, detail=detail))

        notes = ""
        worker_options = {name: value for name, value in options.items() if name not in _ANSWER_ONLY}
        worker_options["max_tokens"] = notes_tokens
        for part, chunk in enumerate(chunks if len(chunks) > 1 else (), start=1):
            prompt = worker_prompt(task, notes, chunk.text, part, len(chunks))
            written = strip_thinking(await agent.run(prompt, **worker_options))
            if not written:
                # A thought that took all the tokens, say. What earlier workers found must not be lost with it.
                log.warning("worker wrote no notes", system=self.system_id, part=part)
            notes = self._bounded(written, counter, notes_tokens) if written else notes
            report("chunk", part, notes)
        final = answer_prompt(task, notes) if len(chunks) > 1 else direct_prompt(task, chunks[0].text)
        answer = await agent.run(final, **options)
        report("answer", total, answer)
        return answer

    def _chunks(
        self, task: str, text: str, counter: TokenCounter, answer_tokens: int, notes_tokens: int
    ) -> list[Chunk]:
        size = self.chunk_size
        window = self.model.context_window
        if window is not None:
            fixed = counter.count_messages([{"role": "user", "content": worker_prompt(task, "", "", 999, 999)}])
            room = window - fixed - notes_tokens - max(notes_tokens, answer_tokens)
            if room < 1:
                raise ChunkingError(
                    f"the task ({fixed} tokens), the notes ({notes_tokens}) and the answer ({answer_tokens}) leave no "
                    f"room for the text in a window of {window} tokens; lower max_tokens or shorten the task"
                )
            size = min(size or room, room)
        size = size or _CAREFUL_CHUNK
        overlap = min(_OVERLAP, size // 4) if self.chunk_overlap is None else min(self.chunk_overlap, size // 2)
        return chunk_text(text, size, overlap, counter=counter)

    @staticmethod
    def _bounded(notes: str, counter: TokenCounter, limit: int) -> str:
        """Notes that stay within their share, whatever the model's own tokenizer made of the limit."""
        if counter.count(notes) <= limit:
            return notes
        return chunk_text(notes, limit, counter=counter)[0].text


def _answer_tokens(model: BaseModel, options: dict[str, Any]) -> int:
    for limit in (options.get("max_completion_tokens"), options.get("max_tokens"), model.default_max_tokens):
        if isinstance(limit, int):
            return limit
    return _DEFAULT_ANSWER
