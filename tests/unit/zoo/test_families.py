"""The rows of all families: what the registry promises of each."""

import re

import pytest
import torch

from zoo import registry
from zoo.twins import builder

MODELS = tuple(registry.models().values())
NAMED_BY_THE_PEERS = {
    "bloom", "codegen", "gemma", "gemma2", "gemma3", "glm", "gpt2", "gpt_neox", "gpt_neox_japanese", "gptj", "granite", "lfm2",
    "llama", "mamba", "mistral", "mixtral", "olmo", "olmo2", "phi", "phi3", "qwen2", "qwen3", "qwen3_moe", "smollm2", "smollm3",
    "starcoder2",
}  # fmt: skip


def test_there_are_thirty_families_of_decoders_and_an_embedding_model():
    families = {model.family for model in registry.by_task("text-generation")}
    assert len(families) >= 30
    assert families >= NAMED_BY_THE_PEERS
    assert [model.name for model in registry.by_task("feature-extraction")] == ["qwen3-embedding-0.6b"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_row_names_a_published_checkpoint_and_pins_whole_commits_only(model):
    assert re.fullmatch(r"[\w.-]+/[\w.-]+", model.hub_id)
    assert model.revision is None or re.fullmatch(r"[0-9a-f]{40}", model.revision)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_published_dimensions_make_a_model(model):
    configuration = builder._configuration(model, model.full, {})
    with torch.device("meta"):
        network = builder._network(model, configuration)
    weights = sum(parameter.numel() for parameter in {id(each): each for each in network.parameters()}.values())
    assert weights > 1e8  # the smallest of them, gpt2 and its like, has 1.2e8
    assert configuration.vocab_size == model.full["vocab_size"]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_twin_keeps_the_published_ties_and_window(model):
    twin = builder._configuration(model, builder._toy_dimensions(model), {})
    full = builder._configuration(model, model.full, {})
    assert twin.tie_word_embeddings == full.tie_word_embeddings
    assert (getattr(twin, "layer_types", None) is None) == (getattr(full, "layer_types", None) is None)
