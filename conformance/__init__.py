"""Does it hold: runs every model under every configuration, compares with eager PyTorch, records what was found.

A model's test file needs two names from here: ``ModelConformance`` and ``KnownFailure``.
"""

from conformance.expectations import KnownFailure
from conformance.suite import ModelConformance

__all__ = ["KnownFailure", "ModelConformance"]
