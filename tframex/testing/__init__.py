"""For tests, yours included: a fake endpoint with real sockets, and a model without a server."""

from tframex.testing._engine import Answer
from tframex.testing._record import Record
from tframex.testing.fake_vllm import FakeVLLM
from tframex.testing.faults import Fault
from tframex.testing.scripted import ScriptedModel

__all__ = ["Answer", "FakeVLLM", "Fault", "Record", "ScriptedModel"]
