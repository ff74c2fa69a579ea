"""The rows of all families: what the registry promises of each."""

import re

import pytest
import torch

from zoo import registry
from zoo.model import TASKS
from zoo.twins import checkpoint

MODELS = tuple(registry.models().values())
NAMED_BY_THE_PEERS = {
    "bloom", "codegen", "gemma", "gemma2", "gemma3", "glm", "gpt2", "gpt_neox", "gpt_neox_japanese", "gptj", "granite", "lfm2",
    "llama", "mamba", "mistral", "mixtral", "olmo", "olmo2", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "smollm2", "smollm3",
    "starcoder2",
}  # fmt: skip


NAMED = {
    "text-generation": NAMED_BY_THE_PEERS,
    "fill-mask": {"bert", "albert", "distilbert", "roberta", "xlm_roberta", "eurobert", "modernbert"},
    "feature-extraction": {"minilm", "qwen3_embedding"},
    "image-classification": {
        "vit", "deit", "dit", "swin", "cvt", "pvt", "focalnet", "mobilevit", "mobilevitv2", "efficientnet", "resnet",
        "mobilenet_v2", "convnext", "dinov2",
    },
    "text2text-generation": {"t5", "bart", "marian"},
    "automatic-speech-recognition": {"whisper", "moonshine", "speech_to_text", "wav2vec2"},
    "image-text-to-text": {"gemma3", "smolvlm", "llava", "qwen2_5_vl", "internvl"},
    "audio-text-to-text": {"voxtral", "granite_speech", "qwen2_audio"},
    "object-detection": {"detr", "yolos", "rt_detr", "conditional_detr"},
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_task_has_the_families_that_people_look_for(task):
    assert {model.family for model in registry.by_task(task)} >= NAMED[task]


def test_there_are_thirty_families_of_decoders():
    assert len({model.family for model in registry.by_task("text-generation")}) >= 30


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_row_names_a_published_checkpoint_and_pins_whole_commits_only(model):
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.hub_id)
    assert model.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.revision)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_published_dimensions_make_a_model(model):
    configuration = checkpoint.configuration_of(model, model.full, {})
    with torch.device("meta"):
        network = checkpoint.network_of(model, configuration)
    weights = sum(parameter.numel() for parameter in {id(each): each for each in network.parameters()}.values())
    # The smallest decoder, gpt2 and its like, has 1.2e8; the smallest encoder 1.2e7, the smallest of images 1.3e6.
    assert weights > {"text-generation": 1e8, "image-classification": 1e6, "object-detection": 5e6}.get(model.task, 1e7)
    if "vocab_size" in model.full:
        assert configuration.vocab_size == model.full["vocab_size"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_twin_keeps_the_published_ties_and_window(model):
    twin = checkpoint.configuration_of(model, checkpoint.toy_dimensions(model), {})
    full = checkpoint.configuration_of(model, model.full, {})
    assert getattr(twin, "tie_word_embeddings", None) == getattr(full, "tie_word_embeddings", None)
    assert (getattr(twin, "layer_types", None) is None) == (getattr(full, "layer_types", None) is None)
