"""Imported once by the fork server, so that each cell's child has the stack in memory: a fork costs milliseconds, these
imports cost seconds.

Nothing here may start a thread pool: a process that forks must not have one.
"""

from __future__ import annotations

from conformance.quiet import quiet

quiet()

import torch  # noqa: E402
import transformers  # noqa: E402
from executorch.backends.xnnpack.partition import xnnpack_partitioner  # noqa: E402, F401
from torchao import quantization  # noqa: E402, F401

import exporters.pipeline  # noqa: E402, F401

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
