"""How a checkpoint becomes a ``.pte``: configuration, wrappers, quantization, lowering, and the pipeline over them.

Nothing here knows of the zoo or of pytest. Importing this package is cheap; torch is imported with ``exporters.pipeline``.
"""

from exporters.config import ExportConfig
from exporters.errors import ExportError

__all__ = ["ExportConfig", "ExportError"]
