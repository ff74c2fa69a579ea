"""What a program says of itself, held against the checkpoint's configuration and the program's own inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from conformance.compare.contract import special_tokens
from conformance.record import Check
from conformance.sessions.layout import FLOATS, PIXELS, POSITIONS, TOKENS, Layout
from conformance.sessions.program import Program

UNCOMPARED = ("get_max_batch_size", "modality", "get_temperature")
"""Constant methods of other exporters that say nothing of a checkpoint."""


def check_constants(program: Program, layout: Layout, model: Any) -> tuple[Check | None, list[str]]:
    """Compare every constant method that is known.

    Args:
        program: Open.
        layout: Its layout.
        model: The checkpoint's transformers model.

    Returns:
        The check, ``None`` if there is nothing to compare, and the names of the methods that were not compared.
    """
    known = {**_of_the_model(model), **_of_the_program(layout)}
    wrong, compared, left = [], [], []
    for name in layout.constants:
        rule = known.get(name)
        if rule is None:
            left.append(name)
            continue
        found = program.constant(name)
        complaint = rule(found)
        compared.append(name)
        if complaint is not None:
            wrong.append(f"{name} is {found!r}, expected {complaint}")
    if not compared:
        return None, left
    return (
        Check(
            status="fail" if wrong else "pass",
            message="; ".join(wrong) or f"{len(compared)} constant methods are the checkpoint's: {', '.join(compared)}",
            metrics={"compared": compared, "wrong": wrong},
        ),
        left,
    )


Rule = Callable[[Any], "str | None"]
"""From a value what was expected instead; ``None`` if it is right."""


def _equal(expected: Any) -> Rule:
    return lambda found: None if found == expected else repr(expected)


def _at_most(limit: int) -> Rule:
    return lambda found: None if 0 < found <= limit else f"at most {limit}"


def _of_the_model(model: Any) -> Mapping[str, Rule]:
    """What the configuration decides."""
    configuration, generation = model.config, getattr(model, "generation_config", None)
    text = configuration.get_text_config()
    rules: dict[str, Rule] = {}
    for name, options in {
        "get_vocab_size": ("vocab_size",),
        "get_n_layers": ("num_decoder_layers", "decoder_layers", "decoder_num_hidden_layers", "num_hidden_layers"),
        "get_num_labels": ("num_labels",),
    }.items():
        value = next((getattr(text, option) for option in options if getattr(text, option, None) is not None), None)
        if value is not None:
            rules[name] = _equal(value)
    bos, eos = special_tokens(configuration, generation)
    if bos is not None:
        rules["get_bos_id"] = _equal(bos)
    if eos:
        rules["get_eos_ids"] = lambda found: None if sorted(found) == sorted(eos) else repr(eos)
        rules["get_eos_id"] = lambda found: None if found in eos else f"one of {eos}"
    if getattr(text, "pad_token_id", None) is not None:
        rules["get_pad_id"] = _equal(text.pad_token_id)
    start = getattr(generation, "decoder_start_token_id", None)
    if start is None:
        start = getattr(configuration, "decoder_start_token_id", None)
    if start is not None:
        rules |= {name: _equal(start) for name in ("decoder_start_token_id", "get_decoder_start_token_id")}
    context = getattr(text, "max_position_embeddings", None)
    if context and context > 0:
        rules |= {name: _at_most(context) for name in ("get_max_seq_len", "get_max_context_len")}
    return {**rules, **_heads(text), **_placeholders(configuration)}


def _heads(text: Any) -> Mapping[str, Rule]:
    heads = next(
        (
            getattr(text, name)
            for name in ("decoder_attention_heads", "num_attention_heads", "num_heads")
            if getattr(text, name, None) is not None
        ),
        None,
    )
    if heads is None or not getattr(text, "hidden_size", None):
        return {}
    multi_query = getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False)
    keys = getattr(text, "decoder_num_key_value_heads", None) or getattr(text, "num_key_value_heads", None) or heads
    width = getattr(text, "head_dim", None) or getattr(text, "d_kv", None) or text.hidden_size // heads
    return {"get_n_kv_heads": _equal(1 if multi_query else keys), "get_head_dim": _equal(width)}


def _placeholders(configuration: Any) -> Mapping[str, Rule]:
    from zoo.errors import ZooError
    from zoo.twins.media import placeholder_id

    try:
        token = placeholder_id(configuration)
    except ZooError:
        return {}
    names = ("get_image_token_id", "get_audio_token_id", "image_token_id", "vision_token_id", "audio_token_id")
    return {name: _equal(token) for name in names}


def _of_the_program(layout: Layout) -> Mapping[str, Rule]:
    """What the program's own inputs, outputs and operators decide."""
    rules: dict[str, Rule] = {
        "use_sdpa_with_kv_cache": _equal(bool(layout.operators & {"llama::custom_sdpa", "llama::sdpa_with_kv_cache"}))
    }
    decoder = layout.methods.get("text_decoder") or layout.methods.get("forward")
    if decoder is not None:
        dtype = decoder.outputs[0].dtype
        if dtype in FLOATS:
            rules["get_dtype"] = _equal(dtype)
        if TOKENS in decoder.roles:
            rules["use_kv_cache"] = _equal(POSITIONS in decoder.roles)
            rules["enable_dynamic_shape"] = _equal(decoder.input(TOKENS).dynamic)
        if PIXELS in decoder.roles:
            channels, height, width = decoder.input(PIXELS).sizes[1:]
            rules |= {
                "get_num_channels": _equal(channels),
                "get_image_height": _equal(height),
                "get_image_width": _equal(width),
            }
    return rules
