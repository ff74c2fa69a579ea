"""Imported once by the fork server, so that each cell's child has the stack in memory: a fork costs milliseconds, these
imports cost seconds.

What is there by then is collected once, and taken away from the garbage collector. A child that goes through all the objects
of the stack copies the pages they are in, which took a third of the time of a cell whose program is cached.

Nothing here may start a thread pool: a process that forks must not have one.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import signal

from conformance import processes
from conformance.quiet import quiet

MODULES = (
    "executorch.backends.xnnpack.partition.xnnpack_partitioner",
    "executorch.devtools.backend_debug",
    "executorch.exir",
    "executorch.extension.llm.custom_ops.custom_ops",
    "executorch.kernels.quantized",
    "executorch.runtime",
    "torchao.quantization",
    "transformers.models.auto.modeling_auto",
    "conformance.cell",
    "exporters.pipeline",
    "exporters.quantize",
    "exporters.wrappers.causal_lm",
    "zoo.twins",
)

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to deal with; multiprocessing says so after these imports
quiet()
for name in MODULES:
    importlib.import_module(name)

import torch  # noqa: E402
import transformers  # noqa: E402
from transformers.conversion_mapping import get_checkpoint_conversion_mapping  # noqa: E402

from conformance import tasks  # noqa: E402
from zoo import registry  # noqa: E402
from zoo.errors import ZooError  # noqa: E402

torch.set_num_threads(1)
transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
get_checkpoint_conversion_mapping("")  # is made by the first call, and a thousand regular expressions are compiled for it
with contextlib.suppress(ZooError):  # a registry that is wrong is the parent's to refuse, if it needs one
    for model in registry.packaged().values():
        tasks.runner(model)
processes.serve()
gc.collect()
gc.freeze()
