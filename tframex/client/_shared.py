"""What a drop-in client and its copies know together."""

from __future__ import annotations

from dataclasses import dataclass, field

from tframex._retry import RetryBudget
from tframex._types import ResumeMode
from tframex.client._abilities import Abilities

__all__ = ["Shared"]


@dataclass
class Shared:
    """Settings of ours, and what was learned of the endpoint.

    Attributes:
        resume: Whether broken streams are continued.
        idle_timeout: Seconds between two events of an asynchronous stream, or None.
        abilities: What the endpoint can do.
        budget: The retries that are left.
        own_transport: The client's HTTP transport is our default one, so that settings describe it wholly.
    """

    resume: ResumeMode = "auto"
    idle_timeout: float | None = None
    abilities: Abilities = field(default_factory=Abilities)
    budget: RetryBudget = field(default_factory=RetryBudget)
    own_transport: bool = False
