"""Image-text-to-text models as ExecuTorch's ``executorch.extension.llm.optimum`` has them: load, lower with XNNPACK, generate.

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
