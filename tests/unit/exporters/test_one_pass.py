"""Encoders and image classifiers: what the cells of the matrix do not cover."""

import json
import shutil

import pytest
import torch

from conformance.sessions.eager import EagerInference
from conformance.sessions.executorch import ExecuTorchInference
from conformance.sessions.protocol import SessionError
from exporters import ExportConfig, ExportError
from exporters.errors import NotApplicableError
from exporters.pipeline import export, load_model
from exporters.wrappers import wrap
from exporters.wrappers.masked_lm import context
from exporters.wrappers.vision import image_size
from zoo.checkpoints import resolve
from zoo.models.albert import ALBERT_BASE
from zoo.models.bert import BERT_BASE
from zoo.models.minilm import MINILM_L6
from zoo.models.resnet import RESNET_50
from zoo.models.roberta import ROBERTA_BASE
from zoo.models.vit import VIT_BASE


def text(length, start=4):
    ids = torch.arange(start, start + length)[None]
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


@pytest.fixture(scope="module")
def bert():
    return resolve(BERT_BASE)


@pytest.fixture(scope="module")
def resnet():
    return resolve(RESNET_50)


def test_an_encoder_takes_texts_of_any_length_up_to_the_one_asked_for(bert, tmp_path):
    artifact = export(bert, ExportConfig(max_seq_len=24), tmp_path, task="fill-mask")
    session, eager = ExecuTorchInference(artifact.program), EagerInference(load_model(bert, task="fill-mask"))
    for length in (1, 2, 23, 24):
        torch.testing.assert_close(session.infer(text(length)), eager.infer(text(length)), atol=1e-4, rtol=0)
    with pytest.raises(SessionError, match=r"25 tokens, and model.pte takes 24.*--max_seq_len 25"):
        session.infer(text(25))


def test_a_static_encoder_is_fed_padded_texts(bert, tmp_path):
    artifact = export(bert, ExportConfig(max_seq_len=24, dynamic_shapes=False), tmp_path, task="fill-mask")
    session, eager = ExecuTorchInference(artifact.program), EagerInference(load_model(bert, task="fill-mask"))
    assert tuple(session.method_meta().input_tensor_meta(0).sizes()) == (1, 24)
    for length in (1, 7, 24):
        torch.testing.assert_close(session.infer(text(length)), eager.infer(text(length)), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({**text(4), "attention_mask": torch.ones(1, 3, dtype=torch.long)}, "mask"),
        ({name: value.repeat(2, 1) for name, value in text(4).items()}, r"\[1, n\]"),
        ({name: value[:, :0] for name, value in text(4).items()}, "at least one"),
        ({name: value.float() for name, value in text(4).items()}, "int64"),
        (text(4, start=382), "vocabulary"),
        (text(4, start=-1), "vocabulary"),
    ],
)
def test_what_a_runtime_would_answer_wrongly_is_refused(bert, tmp_path_factory, inputs, says):
    place = tmp_path_factory.getbasetemp() / "refusals"
    if not (place / "model.pte").is_file():
        export(bert, ExportConfig(recipe="portable", max_seq_len=8), place, task="fill-mask")
    with pytest.raises(SessionError, match=says):
        ExecuTorchInference(place / "model.pte").infer(inputs)


@pytest.mark.parametrize("option", ["use_custom_sdpa", "use_custom_kv_cache"])
@pytest.mark.parametrize(("model", "task"), [(BERT_BASE, "fill-mask"), (VIT_BASE, "image-classification")])
def test_what_only_decoders_have_is_refused(model, task, option):
    with pytest.raises(NotApplicableError, match=f"{option}: .* keeps no KV cache"):
        wrap(load_model(resolve(model), task=task), task, ExportConfig(**{option: True}))


def test_an_image_model_has_no_embedding_to_quantize_or_share():
    network = load_model(resolve(VIT_BASE), task="image-classification")
    for config in (ExportConfig(qembedding="8w"), ExportConfig(recipe="portable", use_shared_embedding=True)):
        with pytest.raises(NotApplicableError, match="no embedding"):
            wrap(network, "image-classification", config)


def test_a_context_that_is_too_short_is_named(bert):
    with pytest.raises(ExportError, match="max_seq_len 257 exceeds the model's context of 256; use at most 256"):
        wrap(load_model(bert, task="fill-mask"), "fill-mask", ExportConfig(max_seq_len=257))


def test_positions_that_begin_after_the_padding_token_shorten_the_context():
    assert context(load_model(resolve(ROBERTA_BASE), task="fill-mask")) == 256 - 0 - 1
    assert context(load_model(resolve(BERT_BASE), task="fill-mask")) == 256


def test_the_size_of_images_is_asked_for_or_named_by_the_model_or_its_processor(resnet, tmp_path):
    network = load_model(resnet, task="image-classification")
    assert image_size(network, ExportConfig()) == (64, 64)  # by the processor: the configuration has no image_size
    assert image_size(network, ExportConfig(image_size=96)) == (96, 96)
    place = shutil.copytree(resnet, tmp_path / "bare")
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(ExportError, match=r"does not say how large its images are.*--image_size"):
        image_size(load_model(place, task="image-classification"), ExportConfig())


def test_another_size_is_exported_and_another_one_refused(resnet, tmp_path):
    artifact = export(resnet, ExportConfig(recipe="portable", image_size=40), tmp_path, task="image-classification")
    session, eager = ExecuTorchInference(artifact.program), EagerInference(load_model(resnet, task="image-classification"))
    image = {"pixel_values": torch.rand(1, 3, 40, 40)}
    torch.testing.assert_close(session.infer(image), eager.infer(image), atol=1e-4, rtol=0)
    assert (session.constant("get_image_height"), session.constant("get_image_width")) == (40, 40)
    with pytest.raises(SessionError, match=r"\(1, 3, 64, 64\).*images of one size"):
        session.infer({"pixel_values": torch.rand(1, 3, 64, 64)})


def test_a_weight_that_layers_share_counts_once(tmp_path):
    artifact = export(resolve(ALBERT_BASE), ExportConfig(qlinear="8da4w", max_seq_len=16), tmp_path, task="fill-mask")
    linear = [layer for layer in artifact.account.quantization["layers"] if layer["kind"] == "linear"]
    assert [weights.count for weights in artifact.account.realised.linear_weights] == [len(linear)]


def test_an_embedding_model_is_exported_without_what_it_does_not_answer(tmp_path):
    place = resolve(MINILM_L6)
    artifact = export(place, ExportConfig(recipe="portable", max_seq_len=16), tmp_path, task="feature-extraction")
    assert artifact.account.wrapper == "MaskedLMExportableModule"
    assert ExecuTorchInference(artifact.program).infer(text(5)).shape == (5, 64)
    assert "pooler" not in json.dumps(artifact.account.quantization)
