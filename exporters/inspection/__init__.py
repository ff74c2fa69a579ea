"""What is in a ``.pte``: read from the file itself, without the runtime, whoever exported it."""

from exporters.inspection.facts import Inspection
from exporters.inspection.program import inspect

__all__ = ["Inspection", "inspect"]
