"""gearman_c for asyncio: the same names, awaitable."""

from .client import Client
from .submission import Submission

__all__ = ["Client", "Submission"]
