"""The classes that optimum-executorch and ExecuTorch's ``executorch.extension.llm.optimum`` have, by their names.

from conformance.optimum import ExecuTorchModelForCausalLM

model = ExecuTorchModelForCausalLM.from_pretrained(checkpoint, recipe="xnnpack", use_custom_sdpa=True)
model.text_generation(tokenizer, "Why is the sky blue?", max_seq_len=64)

from transformers import PretrainedConfig
from conformance.optimum.image_text_to_text import load_image_text_to_text_model
from conformance.optimum.modeling import ExecuTorchModelForImageTextToTextCausalLM
from conformance.optimum.xnnpack import export_to_executorch_with_xnnpack

module = load_image_text_to_text_model(
    checkpoint, use_custom_sdpa=True, use_custom_kv_cache=True, qlinear=True, qembedding=True
)
program = export_to_executorch_with_xnnpack(module)
model = ExecuTorchModelForImageTextToTextCausalLM(program, PretrainedConfig.from_pretrained(checkpoint))
model.generate(input_ids, pixel_values, max_new_tokens=32)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conformance.optimum.modeling import (
        ExecuTorchModelForCausalLM,
        ExecuTorchModelForImageClassification,
        ExecuTorchModelForImageTextToTextCausalLM,
        ExecuTorchModelForMaskedLM,
        ExecuTorchModelForMultiModalToText,
        ExecuTorchModelForSeq2SeqLM,
        ExecuTorchModelForSpeechSeq2Seq,
    )

__all__ = [
    "ExecuTorchModelForCausalLM",
    "ExecuTorchModelForImageClassification",
    "ExecuTorchModelForImageTextToTextCausalLM",
    "ExecuTorchModelForMaskedLM",
    "ExecuTorchModelForMultiModalToText",
    "ExecuTorchModelForSeq2SeqLM",
    "ExecuTorchModelForSpeechSeq2Seq",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from conformance.optimum import modeling

        return getattr(modeling, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
