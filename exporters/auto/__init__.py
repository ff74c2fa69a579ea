"""transformers' exporters behind one interface, with what they made checked: a model and its inputs in, a program out.

What is exported is the model itself, as a tokenizer's or processor's inputs call it, to an ``ExportedProgram``, an ONNX graph
or an ExecuTorch program. ``exporters.pipeline`` makes the programs of the zoo, with a KV cache of their own, quantization and
metadata.

Importing this package is cheap; torch and transformers are imported when something is exported.
"""

from exporters.auto.configs import AutoExportConfig, DynamoConfig, ExecutorchConfig, OnnxConfig
from exporters.auto.decomposition import (
    decompose_for_generation,
    decompose_multimodal,
    decompose_prefill_decode,
    get_leaf_tensors,
    is_multimodal,
    prepare_for_export,
)
from exporters.auto.exporting import AutoExporter, AutoHfExporter, DynamoExporter, ExecutorchExporter, Exporter, OnnxExporter
from exporters.errors import ExportError
from exporters.workarounds import (
    apply_fx_node_fixes,
    apply_fx_program_fixes,
    apply_patches,
    register_fx_node_fix,
    register_fx_program_fix,
    register_patch,
)

__all__ = [
    "AutoExportConfig",
    "AutoExporter",
    "AutoHfExporter",
    "DynamoConfig",
    "DynamoExporter",
    "ExecutorchConfig",
    "ExecutorchExporter",
    "ExportError",
    "Exporter",
    "OnnxConfig",
    "OnnxExporter",
    "apply_fx_node_fixes",
    "apply_fx_program_fixes",
    "apply_patches",
    "decompose_for_generation",
    "decompose_multimodal",
    "decompose_prefill_decode",
    "get_leaf_tensors",
    "is_multimodal",
    "prepare_for_export",
    "register_fx_node_fix",
    "register_fx_program_fix",
    "register_patch",
]
