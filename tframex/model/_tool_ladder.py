"""The ways to let a model call tools, and which of them an endpoint takes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from tframex._logging import get_logger
from tframex._types import Messages
from tframex.errors import ConfigurationError, ModelStatusError
from tframex.exchange import ServedModel
from tframex.model._action_text import ActionText
from tframex.model._call_grammars import action_schema, answer_tag, structural_tag
from tframex.model._call_prompts import (
    action_instructions,
    as_action,
    as_markup,
    described,
    tag_instructions,
    with_answer,
)
from tframex.model._call_text import CallText
from tframex.servers import ToolRung

if TYPE_CHECKING:
    from tframex.model.output import Output

__all__ = ["Asked", "Plan", "ToolLadder"]

log = get_logger("tframex.model")

_NATIVE: tuple[ToolRung, ...] = ("native",)
# What a refusal names that has to do with tools and grammars, rather than with another part of the request.
_ABOUT = re.compile(r"tool|function|jinja|grammar|schema|struct|response_format|json|strict", re.IGNORECASE)
_REFUSALS = frozenset({400, 404, 405, 415, 422, 500, 501})
_CHOICES = ("auto", "required", "none")


@dataclass(frozen=True)
class Asked:
    """What the model may do.

    Attributes:
        tools: The definitions of the tools.
        choice: `"auto"`, `"required"`, `"none"`, or the name of the tool to call.
        several: More than one call in an answer is allowed.
        output: What the final answer is; None: text.
    """

    tools: Sequence[Mapping[str, Any]]
    choice: str = "auto"
    several: bool = True
    output: Output[Any] | None = None

    def __post_init__(self) -> None:
        if self.choice not in (*_CHOICES, *self.names):
            known = ", ".join(map(repr, (*_CHOICES, *self.names)))
            raise ConfigurationError(f"choice must be one of {known}, not {self.choice!r}")
        if not self.tools:
            raise ConfigurationError("tools must be the definitions of at least one tool; without tools, use events")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools."""
        return tuple(tool["function"]["name"] for tool in self.tools)

    @property
    def repeated(self) -> bool:
        """Whether there may be more than one call: a tool that is named is called once."""
        return self.several and self.choice in _CHOICES

    @property
    def must(self) -> bool:
        """Whether the answer has to be a call."""
        return self.choice not in ("auto", "none")

    @property
    def callable(self) -> Sequence[Mapping[str, Any]]:
        """The definitions of the tools that the answer may call."""
        if self.choice in _CHOICES:
            return self.tools
        return [tool for tool in self.tools if tool["function"]["name"] == self.choice]


@dataclass(frozen=True)
class Plan:
    """One way to ask.

    Attributes:
        rung: Which one.
        messages: What is sent.
        options: The options that are sent.
        enforced: The server holds the answer to the choice of tools.
        loose: Without the grammar that the server refused for these tools.
    """

    rung: ToolRung
    messages: Messages
    options: dict[str, Any]
    enforced: bool
    loose: bool

    def reader(self, asked: Asked) -> CallText | ActionText:
        """What reads the calls in the text of the answer."""
        if self.rung == "action":
            return ActionText()
        # Where the server reads the calls, text is text, unless it has missed a call of one of the tools.
        return CallText(asked.names if self.rung == "native" else None)


class ToolLadder:
    """Plans requests with tools, and learns from what an endpoint refuses.

    Args:
        served: What is known of the endpoint; None for a model that takes tools as options.

    Attributes:
        identified: The endpoint was asked what it is.
    """

    def __init__(self, served: ServedModel | None) -> None:
        self.identified = False
        self._served = served
        # Tools whose schemas were refused by the server's grammar.
        self._loose: set[bytes] = set()

    @property
    def learns(self) -> bool:
        """Whether there is an endpoint behind the model, to learn from."""
        return self._served is not None

    @property
    def rungs(self) -> tuple[ToolRung, ...]:
        """The ways down to the one that is left."""
        known = _NATIVE if self._served is None else self._served.server.tools
        return known[: known.index(self._rung) + 1]

    def plan(self, messages: Messages, asked: Asked, options: Mapping[str, Any]) -> Plan:
        """The request of the best way that is left."""
        rung = self._rung
        if rung == "native":
            return self._native(messages, asked, options)
        # The tools stay in the prompt even if none may be called, for the calls and results in the conversation.
        sent = self._described(messages, asked, rung)
        loose = rung == "text" or self._is_loose(asked)
        grammar = {} if loose else self._grammar(asked, rung)
        return Plan(rung, sent, {**options, **grammar}, bool(grammar), loose)

    def refused(self, plan: Plan, asked: Asked, error: ModelStatusError) -> bool:
        """Learn from a refusal. Returns whether there is another way to ask."""
        said = str(error.args[0])
        if error.status_code not in _REFUSALS or not _ABOUT.search(said):
            return False
        if (
            not plan.loose
            and plan.enforced
            and re.search(r"grammar error|unsupported|unimplemented|schema", said, re.I)
        ):
            log.info("tools without a grammar", rung=plan.rung, error=said[:200])
            self._loose.add(_key(asked))
            return True
        return self._give_up(plan.rung)

    def ignored(self, plan: Plan) -> bool:
        """Note that an answer has no call although it had to. Returns whether there is another way to ask."""
        return not plan.enforced and self._give_up(plan.rung)

    def _give_up(self, rung: ToolRung) -> bool:
        if self._served is None:
            return False
        if rung in self._served.tools_refused:
            # Another answer has found it out meanwhile.
            return True
        if rung not in self._left[:-1]:
            return False
        log.info("another way to call tools", refused=rung, server=self._served.server.name)
        self._served.tools_refused.add(rung)
        return True

    @property
    def _left(self) -> tuple[ToolRung, ...]:
        if self._served is None:
            return _NATIVE
        rungs = self._served.server.tools
        return tuple(rung for rung in rungs if rung not in self._served.tools_refused) or rungs[-1:]

    @property
    def _rung(self) -> ToolRung:
        return self._left[0]

    def _is_loose(self, asked: Asked) -> bool:
        return bool(self._loose) and _key(asked) in self._loose

    def _native(self, messages: Messages, asked: Asked, options: Mapping[str, Any]) -> Plan:
        server = None if self._served is None else self._served.server
        loose = self._is_loose(asked)
        strict = server is not None and server.strict_tools and not loose
        made: dict[str, Any] = {"tools": _strict(asked.tools) if strict else asked.tools}
        if asked.choice in ("required", "none"):
            made["tool_choice"] = asked.choice
        elif asked.choice != "auto":
            made["tool_choice"] = {"type": "function", "function": {"name": asked.choice}}
        if not asked.several:
            made["parallel_tool_calls"] = False
        output = asked.output
        if output is not None and not asked.must:
            messages = with_answer(messages, output.schema)
            if server is not None and server.tools_and_format and not loose:
                bounded = asked.choice == "none" and "tags" in server.tools
                made |= (
                    {"structured_outputs": {"structural_tag": answer_tag(output.schema)}}
                    if bounded
                    else {"response_format": _format(output.name, output.schema, strict=output.strict)}
                )
        enforced = server is not None and (strict or server.tools == _NATIVE)
        return Plan("native", messages, {**options, **made}, enforced, loose)

    @staticmethod
    def _described(messages: Messages, asked: Asked, rung: ToolRung) -> Messages:
        answer = _answer(asked)
        if rung == "action":
            return described(messages, action_instructions(asked.tools, answer), as_action)
        return described(messages, tag_instructions(asked.tools, answer), as_markup)

    @staticmethod
    def _grammar(asked: Asked, rung: ToolRung) -> dict[str, Any]:
        answer, tools = _answer(asked), () if asked.choice == "none" else asked.callable
        if rung == "action":
            schema = action_schema(tools, must=asked.must, several=asked.repeated, answer=answer)
            return {"response_format": _format("action", schema, strict=False)}
        if tools:
            tag = structural_tag(tools, must=asked.must, several=asked.repeated, answer=answer)
            return {"structured_outputs": {"structural_tag": tag}}
        return {} if answer is None else {"structured_outputs": {"structural_tag": answer_tag(answer)}}


def _answer(asked: Asked) -> Mapping[str, Any] | None:
    return None if asked.output is None else asked.output.schema


def _format(name: str, schema: Mapping[str, Any], *, strict: bool) -> dict[str, Any]:
    described: dict[str, Any] = {"name": name, "schema": schema}
    if strict:
        described["strict"] = True
    return {"type": "json_schema", "json_schema": described}


def _key(asked: Asked) -> bytes:
    return msgspec.json.encode(asked.tools)


def _strict(tools: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{**tool, "function": {"strict": True, **tool["function"]}} for tool in tools]
