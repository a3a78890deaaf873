"""What a drop-in client and its copies know together."""

from __future__ import annotations

from dataclasses import dataclass, field

from tframex._types import ResumeMode
from tframex.exchange import Abilities, RetryBudget

__all__ = ["Learned", "Shared"]


@dataclass
class Learned:
    """What is known of one model of one endpoint.

    Attributes:
        abilities: What it can do.
        budget: The retries that are left.
    """

    abilities: Abilities = field(default_factory=Abilities)
    budget: RetryBudget = field(default_factory=RetryBudget)


@dataclass
class Shared:
    """Settings of ours, and what was learned.

    Attributes:
        resume: Whether broken streams are continued.
        idle_timeout: Seconds between two events of an asynchronous stream, or None.
        own_transport: The client's HTTP transport is our default one, so that settings describe it wholly.
        learned: By base URL and model.
    """

    resume: ResumeMode = "auto"
    idle_timeout: float | None = None
    own_transport: bool = False
    learned: dict[tuple[str, str], Learned] = field(default_factory=dict)

    def of(self, base_url: str, model: str) -> Learned:
        """What is known of a model of an endpoint."""
        return self.learned.setdefault((base_url, model), Learned())
