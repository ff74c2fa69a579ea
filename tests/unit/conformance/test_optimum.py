"""The interface of ``executorch.extension.llm.optimum``, by our import path."""

import json

import pytest
import torch

from exporters.errors import ExportError
from zoo import registry
from zoo.checkpoints import resolve


def test_a_model_is_loaded_lowered_and_asked_about_an_image():
    from PIL import Image
    from transformers import PretrainedConfig

    from conformance.optimum.image_text_to_text import load_image_text_to_text_model
    from conformance.optimum.modeling import ExecuTorchModelForImageTextToTextCausalLM
    from conformance.optimum.xnnpack import export_to_executorch_with_xnnpack
    from zoo.twins.media import load_processor, prepare

    model_id = resolve(registry.get("llava-1.5-7b"))
    module = load_image_text_to_text_model(
        model_id, use_custom_sdpa=True, use_custom_kv_cache=True, qlinear=True, qembedding=True, max_seq_len=64
    )
    model = export_to_executorch_with_xnnpack(module)
    et_model = ExecuTorchModelForImageTextToTextCausalLM(model, PretrainedConfig.from_pretrained(model_id))
    sample = json.loads((model_id / "reference.json").read_text())["samples"][0]
    prompt = torch.tensor([sample["tokens"][: sample["prompt_length"]]])
    picture = Image.open(model_id / sample["shown"][0]).convert("RGB")
    pixels = prepare(load_processor(model_id), picture)["pixel_values"]
    said = et_model.generate(prompt, pixels, max_new_tokens=64)
    assert said[0].tolist()[: len(sample["tokens"])] == sample["tokens"]
    plan = {entry.name: entry for entry in model.executorch_program.execution_plan}
    assert {"text_decoder", "token_embedding", "vision_encoder"} <= plan.keys()
    operators = {operator.name for operator in plan["text_decoder"].operators}
    assert {"llama::custom_sdpa", "llama::update_cache"} <= operators
    assert "quantized_decomposed::embedding_byte" in {operator.name for operator in plan["token_embedding"].operators}


def test_an_option_that_does_not_exist_is_named():
    from conformance.optimum.image_text_to_text import load_image_text_to_text_model

    with pytest.raises(ExportError, match=r"unknown option 'use_custom_sdp'.*use_custom_sdpa"):
        load_image_text_to_text_model("llava-1.5-7b", use_custom_sdp=True)
