"""Small random models: wiring is tested here, meaning is tested on twins."""

import pytest

TOY = dict(vocab_size=48, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4)
KINDS = {
    "llama": dict(num_key_value_heads=2, tie_word_embeddings=True),
    "qwen3": dict(num_key_value_heads=2, head_dim=16),
    "gemma3_text": dict(
        num_key_value_heads=1, head_dim=16, sliding_window=5, layer_types=["sliding_attention", "full_attention"]
    ),
    # Every layer slides: there is no full attention to take a mask from.
    "mistral": dict(num_key_value_heads=2, sliding_window=5),
}


@pytest.fixture(params=KINDS, ids=("grouped heads", "wide heads", "some layers slide", "all layers slide"))
def kind(request):
    """Each kind of toy."""
    return request.param


@pytest.fixture
def toy():
    """A function that builds a seeded random model of a kind, with logits large enough to differ."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    def build(kind, **changes):
        torch.manual_seed(0)
        configuration = AutoConfig.for_model(kind, **{**TOY, **KINDS[kind], "max_position_embeddings": 64, **changes})
        model = AutoModelForCausalLM.from_config(configuration, attn_implementation="eager").eval().requires_grad_(False)
        for parameter in model.parameters():
            parameter.mul_(3.0 if parameter.dim() > 1 else 1.0)
        return model

    return build


@pytest.fixture
def workarounds(monkeypatch):
    """The registry of workarounds, which forgets afterwards what a test registers. The recipes register theirs when they are
    imported, which happens once: here, and not into a registry that is thrown away."""
    import exporters.recipes.portable
    import exporters.recipes.xnnpack  # noqa: F401
    from exporters import workarounds

    for registry in ("_patches", "_node_fixes", "_program_fixes"):
        monkeypatch.setattr(workarounds, registry, {key: list(value) for key, value in getattr(workarounds, registry).items()})
    return workarounds
