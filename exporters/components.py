"""The components of a transformers model that is not one stack of layers: what reads text, images or sound, and what writes."""

from __future__ import annotations

from typing import Any

from torch import nn


def encoders(model: Any) -> tuple[nn.Module, ...]:
    """The modules in front of a model's decoder, as the options that end in ``_encoder`` mean them: the encoder of a model that
    translates or transcribes; what turns images or sound into embeddings of a model that also reads text. Empty for a model of
    one stack."""
    if model.config.is_encoder_decoder and not model.can_generate():
        return ()  # a detector: its decoder reads nothing but the encoder's features, and writes nothing
    if model.config.is_encoder_decoder:
        return (model.get_encoder(),)
    if model.config.get_text_config() is model.config:
        return ()
    text = {id(module) for module in model.get_decoder().modules()}
    head = model.get_output_embeddings()
    return tuple(
        module
        for module in model.base_model.children()
        if id(module) not in text and module is not head and any(True for _ in module.parameters())
    )
