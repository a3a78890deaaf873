"""What keeps a user from an answer."""

from tframex.cli.doctor.examination import examine
from tframex.cli.doctor.finding import Finding, Status
from tframex.cli.doctor.target import Target

__all__ = ["Finding", "Status", "Target", "examine"]
