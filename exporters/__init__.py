"""How a checkpoint becomes a ``.pte``: configuration, wrappers, quantization, lowering, and the pipeline over them.

Nothing here knows of the zoo or of pytest. Importing this package is cheap; torch is imported when something is exported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exporters.artifact import Artifact
from exporters.config import ExportConfig
from exporters.errors import ExportError

if TYPE_CHECKING:
    from exporters.pipeline import export

__all__ = ["Artifact", "ExportConfig", "ExportError", "export"]


def __getattr__(name: str) -> Any:
    if name == "export":
        from exporters.pipeline import export

        return export
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
