"""What a later version of the official client may add does not keep `tframex` from being imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import typing
import openai.types.responses as responses
from openai import BaseModel
from typing import Annotated, Any, Literal, Union, get_args

class New(BaseModel):
    delta: str
    {fields}
    sequence_number: int
    type: {type}

kinds = get_args(get_args(responses.ResponseStreamEvent)[0])
responses.ResponseStreamEvent = Annotated[Union[(*kinds, New)], "type"]
import tframex
from tframex.client._delta_events import decode_deltas
assert tframex.OpenAI
line = b'{{"type":"response.output_text.delta","item_id":"i","output_index":0,"content_index":0,"delta":"x","logprobs":[],'
line += b'"sequence_number":1}}'
assert decode_deltas(line)
"""


@pytest.mark.parametrize(
    ("fields", "tags"),
    [
        ("obfuscation: str", 'Literal["response.new.delta"]'),
        ("item_id: str", 'Literal["response.a.delta", "response.b.delta"]'),
        ("item_id: str", "str"),
    ],
)
def test_a_new_kind_of_event_does_not_break_the_import(fields: str, tags: str) -> None:
    script = SCRIPT.format(fields=fields, type=tags)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
