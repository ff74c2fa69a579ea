"""``MultiModalTextToTextExportableModule``: what it refuses, and what its decoder is told."""

import pytest
import torch

from exporters.config import ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.pipeline import load_model, register_operators
from exporters.wrappers.modalities import modality_encoder
from exporters.wrappers.multimodal import MultiModalTextToTextExportableModule
from zoo import registry
from zoo.checkpoints import resolve


def load(name):
    register_operators()
    model = registry.get(name)
    return load_model(resolve(model), task=model.task)


@pytest.mark.parametrize("options", [{"dynamic_shapes": False}, {"use_attention_sink": "2,8"}])
def test_images_that_attend_both_ways_cannot_be_fed_in_parts(options):
    config = ExportConfig(use_custom_sdpa=True, use_custom_kv_cache=True, max_seq_len=72, **options)
    with pytest.raises(NotApplicableError, match="attend to each other both ways"):
        MultiModalTextToTextExportableModule(load("gemma3-4b"), config)


@pytest.mark.parametrize("configuration", ["xnnpack-fp32", "xnnpack-fp32-kv", "xnnpack-fp32-sdpa-kv"])
def test_the_decoder_of_gemma3_masks_as_transformers_does(configuration):
    model = load("gemma3-4b")
    token = model.config.image_token_id
    tokens = torch.tensor([[7, 8, token, token, token, token, 9, 10] * 4])
    pixels = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = model(tokens, pixel_values=pixels, token_type_ids=(tokens == token).long()).logits
        module = MultiModalTextToTextExportableModule(model, ExportConfig.from_id(configuration, max_seq_len=72))
        embeddings = model.get_input_embeddings()(tokens)
        embeddings[tokens == token] = torch.cat([module.encoder(image.unsqueeze(0))[0] for image in pixels])
        blocks = torch.where(tokens[0] == token, torch.arange(32) // 8, -1)
        found = module.decoder(embeddings, torch.arange(32), blocks)
        blind = module.decoder(embeddings, torch.arange(32), torch.full_like(blocks, -1))
    assert torch.allclose(found, expected, atol=1e-4)
    assert (blind - expected).abs().max() > 0.01


def test_an_image_size_without_positions_is_refused():
    with pytest.raises(ExportError, match="image_size 48 cannot be had"):
        modality_encoder(load("llava-1.5-7b"), ExportConfig(image_size=48))


def test_an_image_size_that_patches_do_not_divide_is_refused():
    with pytest.raises(ExportError, match="16 by 16 pixels"):
        modality_encoder(load("qwen2.5-vl-3b"), ExportConfig(image_size=40))


def test_another_image_size_has_windows_of_its_own():
    encoder = modality_encoder(load("qwen2.5-vl-3b"), ExportConfig(image_size=64))
    assert [len(set(lengths)) for lengths in encoder.lengths] == [1, 1]
    assert encoder(*encoder.example()).shape == (1, 16, 64)


def test_a_sound_of_parts_of_blocks_is_refused():
    with pytest.raises(ExportError, match="blocks of 20 pairs"):
        modality_encoder(load("granite-speech-3.3-2b"), ExportConfig(max_source_len=50))


def test_a_model_that_only_reads_has_no_encoder():
    with pytest.raises(ExportError, match="qwen3"):
        modality_encoder(load("qwen3-0.6b"), ExportConfig())


@pytest.mark.parametrize(("options", "quantized"), [({"qlinear": "8w"}, "decoder"), ({"qlinear_encoder": "8w"}, "encoder")])
def test_encoder_and_decoder_are_quantized_by_options_of_their_own(options, quantized):
    from exporters.quantize import quantize

    report = quantize(load("llava-1.5-7b"), ExportConfig(**options))
    in_decoder = {"language_model" in layer.name or "lm_head" in layer.name for layer in report.layers}
    assert in_decoder == {quantized == "decoder"}
    assert {layer.part for layer in report.layers} == {quantized}


def test_a_layer_whose_answer_is_not_used_is_left_alone():
    from exporters.quantize import quantize

    report = quantize(load("llava-1.5-7b"), ExportConfig(qlinear_encoder="8w"))
    assert {layer.name.split("layers.")[1][0] for layer in report.skipped} == {"2"}
    assert {layer.reason for layer in report.skipped} == {"its answer is not used"}


def test_a_model_of_one_stack_has_no_encoder_to_quantize():
    from exporters.quantize import quantize

    with pytest.raises(NotApplicableError, match="qlinear_encoder: Qwen3ForCausalLM has no encoder"):
        quantize(load("qwen3-0.6b"), ExportConfig(qlinear_encoder="8w"))
