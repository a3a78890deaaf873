"""Which forms of typed answers an endpoint takes, learned from what it refuses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tframex.errors import (
    AuthenticationError,
    ContextLengthError,
    ModelError,
    ModelNotFoundError,
    ModelStatusError,
    RateLimitError,
)
from tframex.servers import OutputForm, ServerKind

__all__ = ["OutputLadder", "keywords_refused", "may_refuse_form"]

# The answer is validated, whether or not the grammar has these.
_OPTIONAL = frozenset(
    {
        "exclusiveMaximum",
        "exclusiveMinimum",
        "format",
        "maxItems",
        "maxLength",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "multipleOf",
        "pattern",
    }
)
_OTHER_REFUSALS = (AuthenticationError, ContextLengthError, ModelNotFoundError, RateLimitError)
_WORD = re.compile(r"\w+")
# As vLLM ("Grammar error: ..."), OpenAI ("Invalid schema for response_format ...") and llama.cpp word it.
_OF_THIS_SCHEMA = re.compile(r"grammar|invalid schema|schema for|json schema conversion|failed to parse", re.IGNORECASE)


@dataclass
class OutputLadder:
    """What one endpoint has refused.

    Attributes:
        refused: The forms that it takes for no schema.
        refused_for: The forms that it does not take for a schema, by the schema.
        without: Keywords that its grammar does not take.
    """

    refused: set[OutputForm] = field(default_factory=set)
    refused_for: dict[str, set[OutputForm]] = field(default_factory=dict)
    without: set[str] = field(default_factory=set)

    def forms(self, server: ServerKind, schema: str) -> list[OutputForm]:
        """The forms that are left for a schema, the best first; the last, `"prompt"`, is always there."""
        gone = self.refused | self.refused_for.get(schema, set()) - {"prompt"}
        return [form for form in server.output_forms if form not in gone]

    def learn(self, form: OutputForm, schema: str, error: ModelError) -> None:
        """Note that a form was refused with this error, where another has been taken for the same conversation."""
        if form in str(error) and not _OF_THIS_SCHEMA.search(str(error)):
            self.refused.add(form)
        else:
            self.refused_for.setdefault(schema, set()).add(form)


def may_refuse_form(error: ModelError) -> bool:
    """Whether an endpoint may have refused a request because of how it asks for a type: the next form then tells."""
    if isinstance(error, _OTHER_REFUSALS) or not isinstance(error, ModelStatusError):
        return False
    return error.status_code in (400, 415, 422, 501)


def keywords_refused(error: ModelError, schema: Mapping[str, Any]) -> frozenset[str]:
    """The keywords of a schema that a refusal names and that the grammar can do without."""
    said = set(_WORD.findall(str(error.args[0])))
    return _OPTIONAL & said & frozenset(_keys(schema))


def _keys(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
        for item in value.values():
            yield from _keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from _keys(item)
