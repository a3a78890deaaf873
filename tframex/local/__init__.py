"""A real model on this machine, for demos, tests and work without a network."""

from tframex.local.server import LocalServer

__all__ = ["LocalServer"]
