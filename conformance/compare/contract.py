"""What a program says of itself, and whether it holds what was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conformance.record import Check
from conformance.sessions.executorch import ExecuTorchSession
from exporters.artifact import Artifact
from zoo.model import Model

_LONG = 4
"""ExecuTorch's ``ScalarType::Long``."""
_SCALAR_TYPES = {"fp32": 6}
"""ExecuTorch's ``ScalarType`` of each dtype."""


def check_contract(
    model: Model, configuration: Any, generation: Any, artifact: Artifact, session: ExecuTorchSession, *, unquantized_bytes: int
) -> Check:
    """Compare a program with the registry row, the model's configuration and the export configuration.

    Args:
        configuration: The transformers configuration of the checkpoint: the independent source of what the constant
            methods must say.
        generation: Its generation configuration, whose special tokens are those that ``generate`` would use.
        unquantized_bytes: Size of the checkpoint's linear and embedding weights in fp32.
    """
    wrong: list[str] = []
    constants = expected_constants(configuration, generation, artifact)
    for name, expected in constants.items():
        found = session.constant(name) if name in session.methods else None
        if found != expected:
            wrong.append(f"{name} is {found!r}, expected {expected!r}")
    entry_points = session.methods - set(artifact.account.constant_methods)
    if entry_points != set(model.methods):
        wrong.append(f"methods are {sorted(entry_points)}, expected {sorted(model.methods)}")
    wrong += _inputs(artifact, session, configuration.get_text_config().vocab_size)
    wrong += realised(artifact, unquantized_bytes=unquantized_bytes)
    if artifact.account.wrapper != model.wrapper:
        wrong.append(f"the wrapper is {artifact.account.wrapper}, expected {model.wrapper}")
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong) or f"{len(constants)} constant methods, inputs, outputs and options are as asked for",
        metrics={"constants": constants, "wrong": wrong},
    )


def expected_constants(configuration: Any, generation: Any, artifact: Artifact) -> Mapping[str, Any]:
    """The constant methods that a causal language model must have, from its own configuration."""
    text = configuration.get_text_config()
    config = artifact.config
    heads = text.num_attention_heads
    expected = {
        "get_max_seq_len": artifact.account.max_seq_len,
        "get_max_context_len": artifact.account.max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "get_n_kv_heads": getattr(text, "num_key_value_heads", None) or heads,
        "get_head_dim": getattr(text, "head_dim", None) or text.hidden_size // heads,
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": config.use_custom_sdpa,
        "enable_dynamic_shape": config.dynamic_shapes,
        "get_dtype": _SCALAR_TYPES[config.dtype],
        "uses_ring_cache": any(layer["kind"] == "ring" for layer in artifact.account.cache),
    }
    bos, eos = special_tokens(configuration, generation)
    if bos is not None:
        expected["get_bos_id"] = bos
    if eos:
        expected["get_eos_ids"] = eos
    return expected


def special_tokens(configuration: Any, generation: Any) -> tuple[int | None, list[int]]:
    """The token that begins a text, and those that end one, as ``generate`` would use them.

    Args:
        configuration: A model's transformers configuration.
        generation: Its generation configuration, which has the first word.
    """
    text = configuration.get_text_config()
    bos, eos = (
        getattr(text, name) if getattr(generation, name) is None else getattr(generation, name)
        for name in ("bos_token_id", "eos_token_id")
    )
    if eos is None:
        return bos, []
    return bos, list(eos) if isinstance(eos, (list, tuple)) else [eos]


def _inputs(artifact: Artifact, session: ExecuTorchSession, vocabulary: int) -> list[str]:
    meta = session.method_meta
    length = artifact.account.max_seq_len if artifact.config.dynamic_shapes else 1
    wanted = [("input 0", (1, length), _LONG), ("input 1", (length,), _LONG)]
    found = [
        (f"input {index}", tuple(meta.input_tensor_meta(index).sizes()), meta.input_tensor_meta(index).dtype())
        for index in range(meta.num_inputs())
    ]
    wrong = [] if found == wanted else [f"inputs are {found}, expected {wanted}"]
    outputs = [tuple(meta.output_tensor_meta(index).sizes()) for index in range(meta.num_outputs())]
    if outputs != [(1, length, vocabulary)]:
        wrong.append(f"outputs are {outputs}, expected {[(1, length, vocabulary)]}")
    return wrong


def realised(artifact: Artifact, *, unquantized_bytes: int) -> list[str]:
    """What was asked for and is not in the program."""
    config, account = artifact.config, artifact.account
    operators, backends = set(account.realised.operators), set(account.realised.backends)
    wrong: list[str] = []

    def ask(asked: bool, operator: str, option: str) -> None:
        if asked != (operator in operators):
            wrong.append(f"{operator} is {'missing' if asked else 'present'} with {option}={asked}")

    kinds = {layer["kind"] for layer in account.cache}
    ask(config.use_custom_sdpa, "llama::custom_sdpa", "use_custom_sdpa")
    ask("custom" in kinds, "llama::update_cache", "use_custom_kv_cache")
    ask("ring" in kinds, "llama::update_cache_with_indices", "use_custom_kv_cache")
    if config.use_custom_kv_cache == ("static" in kinds):
        wrong.append(f"cache layers are {sorted(kinds)} with use_custom_kv_cache={config.use_custom_kv_cache}")
    ask(config.qembedding is not None, "quantized_decomposed::embedding_byte", "qembedding")
    if (config.recipe == "xnnpack") != ("XnnpackBackend" in backends):
        wrong.append(f"delegates are {sorted(backends) or 'none'} with the recipe {config.recipe}")
    linears = [layer for layer in account.quantization["layers"] if layer["kind"] == "linear"]
    expected = {config.qlinear_group_size: len(linears)} if config.qlinear else {}
    if account.realised.linear_group_sizes != expected:
        wrong.append(f"4-bit weights by group size are {account.realised.linear_group_sizes}, expected {expected}")
    if config.quantized and account.file.bytes >= unquantized_bytes:
        wrong.append(f"the file has {account.file.bytes} bytes, not less than the fp32 weights ({unquantized_bytes})")
    return wrong
