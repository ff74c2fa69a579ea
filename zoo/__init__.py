"""What the zoo supports: registry rows, and where their weights come from.

Data and checkpoints live here. Nothing here exports or judges a model: this package imports neither
``exporters`` nor ``conformance``.
"""

from zoo.errors import ZooError
from zoo.model import Model, Prompt, Twin
from zoo.registry import by_task, get, register

__all__ = ["Model", "Prompt", "Twin", "ZooError", "by_task", "get", "register"]
