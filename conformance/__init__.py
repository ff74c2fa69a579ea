"""Does it hold: runs every model under every configuration, compares with eager PyTorch, records what was found.

A model's test file needs two names from here: ``ModelConformance`` and ``KnownFailure``. Who uses a program in Python needs
``load`` (docs/python-api.md).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.expectations import KnownFailure
    from conformance.inference import load
    from conformance.suite import ModelConformance

__all__ = ["KnownFailure", "ModelConformance", "load"]

_PLACES = {
    "KnownFailure": "conformance.expectations",
    "ModelConformance": "conformance.suite",
    "load": "conformance.inference",
}


def __getattr__(name: str) -> Any:
    # Importing this package stays cheap: the suite needs pytest, and a program's user does not.
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
