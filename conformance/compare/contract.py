"""What a program says of itself, and whether it holds what was asked for."""

from __future__ import annotations

import collections
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from conformance.record import Check
from conformance.sessions.program import Program
from exporters.artifact import HEADER_BYTES, Account, Artifact, program_parts
from exporters.config import ExportConfig
from exporters.quantize import DECODER, ENCODER
from zoo.model import Model

LONG = 4
"""ExecuTorch's ``ScalarType::Long``."""
SCALAR_TYPES = {"fp16": 5, "fp32": 6, "bf16": 15}
"""ExecuTorch's ``ScalarType`` of each dtype."""


@dataclass(frozen=True)
class MethodSignature:
    """What an entry point takes and answers."""

    inputs: tuple[tuple[tuple[int, ...], int], ...]
    """Largest shape and ExecuTorch's ``ScalarType`` of each input."""
    outputs: tuple[tuple[int, ...], ...]
    """Largest shape of each output."""
    answers: int | None = None
    """``ScalarType`` of the outputs, where that says in what the method computes; ``None`` where its inputs say so."""


@dataclass(frozen=True)
class Signature:
    """What a program must say of itself, take and answer."""

    constants: Mapping[str, Any]
    """Its constant methods, from the model's own configuration: not from where the exporter has them."""
    methods: Mapping[str, MethodSignature]
    """By entry point what it takes and answers."""


def check_contract(
    model: Model,
    artifact: Artifact,
    session: Program,
    signature: Signature,
    *,
    unquantized_bytes: int | None,
    linear_layers: Mapping[str, int],
) -> Check:
    """Compare a program with the registry row, the model's configuration and the export configuration.

    Args:
        unquantized_bytes: Size of the checkpoint's linear and embedding weights in the configuration's dtype; ``None`` where
            the file's size says nothing of them.
        linear_layers: The checkpoint's modules that are to be quantized, with the linear layers that each of them is.
    """
    wrong: list[str] = []
    for name, expected in {**signature.constants, **artifact.config.metadata}.items():
        found = session.constant(name) if name in session.methods else None
        if isinstance(expected, list) and not isinstance(found, list):
            found = [found]
        if found != expected:
            wrong.append(f"{name} is {found!r}, expected {expected!r}")
    entry_points = session.methods - set(artifact.account.constant_methods)
    if entry_points != set(model.methods):
        wrong.append(f"methods are {sorted(entry_points)}, expected {sorted(model.methods)}")
    wrong += _shapes(session, signature)
    wrong += realised(artifact, unquantized_bytes=unquantized_bytes) + misstated(artifact)
    wrong += overlooked(artifact.account, linear_layers)
    if artifact.account.wrapper != model.wrapper:
        wrong.append(f"the wrapper is {artifact.account.wrapper}, expected {model.wrapper}")
    return Check(
        status="fail" if wrong else "pass",
        message="; ".join(wrong)
        or f"{len(signature.constants)} constant methods, inputs, outputs and options are as asked for",
        metrics={"constants": dict(signature.constants), "wrong": wrong},
    )


def causal_signature(model: Model, eager: Any, artifact: Artifact, reference: object = None) -> Signature:
    """What a decoder with a KV cache must have.

    Args:
        eager: The checkpoint's transformers model. The special tokens are those that its ``generate`` would use.
        reference: What the sessions are fed; it says nothing of a decoder.
    """
    configuration, generation = eager.config, getattr(eager, "generation_config", None)
    text = configuration.get_text_config()
    width = text.hidden_size if model.task == "feature-extraction" else text.vocab_size
    length = longest_call(artifact)
    return Signature(
        constants=expected_constants(configuration, generation, artifact),
        methods={"forward": MethodSignature((((1, length), LONG), ((length,), LONG)), ((1, length, width),))},
    )


def longest_call(artifact: Artifact) -> int:
    """Tokens that one call of a decoder takes at most."""
    if not artifact.config.dynamic_shapes:
        return 1
    return artifact.config.max_prefill_len or artifact.account.max_seq_len or 0


def text_constants(configuration: Any, artifact: Artifact) -> Mapping[str, Any]:
    """The constant methods that an encoder of text must have, from its own configuration."""
    text = configuration.get_text_config()
    expected = {
        "get_max_seq_len": artifact.account.max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "enable_dynamic_shape": artifact.config.dynamic_shapes,
        "get_dtype": SCALAR_TYPES[artifact.config.dtype],
    }
    if text.pad_token_id is not None:
        expected["get_pad_id"] = text.pad_token_id
    return expected | _special_constants(configuration, None)


def expected_constants(configuration: Any, generation: Any, artifact: Artifact) -> Mapping[str, Any]:
    """The constant methods that a causal language model must have, from its own configuration."""
    text = configuration.get_text_config()
    config = artifact.config
    expected = {
        "get_max_seq_len": config.max_prefill_len or artifact.account.max_seq_len,
        "get_max_context_len": artifact.account.max_seq_len,
        "get_vocab_size": text.vocab_size,
        "get_n_layers": text.num_hidden_layers,
        "use_kv_cache": True,
        "use_sdpa_with_kv_cache": config.use_custom_sdpa,
        "enable_dynamic_shape": config.dynamic_shapes,
        "get_dtype": SCALAR_TYPES[config.dtype],
        "supports_rewind": {layer["kind"] for layer in artifact.account.cache} <= {"static", "custom"},
    }
    heads = getattr(text, "num_attention_heads", None)
    if heads is not None:
        multi_query = getattr(text, "multi_query", False) and not getattr(text, "new_decoder_architecture", False)
        expected["get_n_kv_heads"] = 1 if multi_query else getattr(text, "num_key_value_heads", None) or heads
        expected["get_head_dim"] = getattr(text, "head_dim", None) or text.hidden_size // heads
    return expected | _special_constants(configuration, generation)


def _special_constants(configuration: Any, generation: Any) -> dict[str, Any]:
    bos, eos = special_tokens(configuration, generation)
    return {name: value for name, value in (("get_bos_id", bos), ("get_eos_ids", eos or None)) if value is not None}


def special_tokens(configuration: Any, generation: Any) -> tuple[int | None, list[int]]:
    """The token that begins a text, and those that end one, as ``generate`` would use them.

    Args:
        configuration: A model's transformers configuration.
        generation: Its generation configuration, which has the first word.
    """
    text = configuration.get_text_config()
    bos, eos = (
        getattr(text, name, None) if getattr(generation, name, None) is None else getattr(generation, name)
        for name in ("bos_token_id", "eos_token_id")
    )
    if eos is None:
        return bos, []
    return bos, list(eos) if isinstance(eos, (list, tuple)) else [eos]


def _shapes(session: Program, signature: Signature) -> list[str]:
    wrong = []
    for name, expected in signature.methods.items():
        meta = session.method_meta(name)
        inputs = tuple(
            (tuple(meta.input_tensor_meta(index).sizes()), meta.input_tensor_meta(index).dtype())
            for index in range(meta.num_inputs())
        )
        outputs = tuple(tuple(meta.output_tensor_meta(index).sizes()) for index in range(meta.num_outputs()))
        if inputs != expected.inputs:
            wrong.append(f"{name}: inputs are {inputs}, expected {expected.inputs}")
        if outputs != expected.outputs:
            wrong.append(f"{name}: outputs are {outputs}, expected {expected.outputs}")
        types = [meta.output_tensor_meta(index).dtype() for index in range(meta.num_outputs())]
        if expected.answers is not None and set(types) != {expected.answers}:
            wrong.append(f"{name}: outputs are of the types {types}, expected {expected.answers}")
    return wrong


def overlooked(account: Account, linear_layers: Mapping[str, int]) -> list[str]:
    """The linear layers that the exporter says neither that it quantized nor why it did not: ``realised`` counts those that it
    speaks of.

    Args:
        linear_layers: As ``check_contract`` takes them.
    """
    done = [layer["name"] for layer in account.quantization["layers"] if layer["kind"] == "linear"]
    left = [layer["name"] for layer in account.quantization["skipped"]]

    def within(names: list[str], module: str) -> int:
        return sum(name == module or name.startswith(f"{module}.") for name in names)

    lost = [name for name, count in linear_layers.items() if within(done, name) < count and not within(left, name)]
    return [f"of the linear layers, {len(lost)} are not accounted for: {', '.join(lost[:4])}"] if lost else []


def misstated(artifact: Artifact) -> list[str]:
    """What the account says of the program and the program's file does not: ``realised`` takes the account's word.

    Raises:
        ExportError: the file is missing or damaged.
    """
    from exporters.inspection import inspect

    account, file = artifact.account, inspect(artifact.program)
    operators = {operator.name.partition(".")[0] for method in file.methods for operator in method.operators}
    backends = {delegate.backend for method in file.methods for delegate in method.delegates}
    wrong = [
        f"{kind} that only the account has are {sorted(told - found)}, those that only the program has {sorted(found - told)}"
        for kind, told, found in (
            ("operators", set(account.realised.operators), operators),
            ("delegates", set(account.realised.backends), backends),
        )
        if told != found
    ]
    with artifact.program.open("rb") as opened:
        stored = file.file.bytes - program_parts(opened.read(HEADER_BYTES)).program
    if account.file.data_bytes != stored:
        wrong.append(f"the account has {account.file.data_bytes} bytes of weights, and the program has {stored}")
    return wrong


def realised(artifact: Artifact, *, unquantized_bytes: int | None) -> list[str]:
    """What was asked for and is not in the program."""
    config, account = artifact.config, artifact.account
    operators, backends = set(account.realised.operators), set(account.realised.backends)
    wrong: list[str] = []

    def ask(asked: bool, operator: str, option: str) -> None:
        if asked != (operator in operators):
            wrong.append(f"{operator} is {'missing' if asked else 'present'} with {option}={asked}")

    kinds = {layer["kind"] for layer in account.cache}
    rings = kinds & {"ring", "sink"}
    attends = bool(kinds - {"state"})
    ask(config.use_custom_sdpa, "llama::custom_sdpa", "use_custom_sdpa")
    ask("custom" in kinds, "llama::update_cache", "use_custom_kv_cache")
    ask(bool(rings), "llama::update_cache_with_indices", "use_custom_kv_cache")
    if attends and config.use_custom_kv_cache == ("static" in kinds):
        wrong.append(f"cache layers are {sorted(kinds)} with use_custom_kv_cache={config.use_custom_kv_cache}")
    if attends and (config.use_attention_sink is not None) != ("sink" in kinds):
        wrong.append(f"cache layers are {sorted(kinds)} with use_attention_sink={config.use_attention_sink}")
    wrong += _local_windows(config, account)
    stored = {layer["bits"] for layer in account.cache if layer["kind"] != "state"}
    if attends and stored != {8 if config.quantize_kv_cache else _BITS[config.dtype]}:
        wrong.append(f"caches store {sorted(stored)} bits with quantize_kv_cache={config.quantize_kv_cache}")
    for option in ("qembedding", "qembedding_encoder"):
        scheme = getattr(config, option)
        if scheme is not None:
            ask(True, f"quantized_decomposed::embedding_{'byte' if scheme == '8w' else '4bit'}", option)
    # XNNPACK has no bfloat16: of such a model it takes what is computed in fp32, if anything is.
    if (config.recipe == "xnnpack") != ("XnnpackBackend" in backends) and config.dtype != "bf16":
        wrong.append(f"delegates are {sorted(backends) or 'none'} with the recipe {config.recipe}")
    wrong += _linear_weights(config, account)
    # An embedding alone may be untied for it, which makes a file larger; that it is quantized is seen by its operator.
    if config.qlinear is not None and unquantized_bytes is not None and account.file.data_bytes >= unquantized_bytes:
        wrong.append(
            f"the weights in the file have {account.file.data_bytes} bytes, not less than unquantized ones "
            f"({unquantized_bytes})"
        )
    if config.use_shared_embedding and not account.realised.shared_embedding:
        wrong.append("the output layer has a copy of the embedding's weight with use_shared_embedding=True")
    return wrong


def _local_windows(config: ExportConfig, account: Account) -> list[str]:
    """Whether the layers that were to be given a window keep a ring of it, and the others everything."""
    windows = config.local_windows
    if windows is None:
        return []
    found = [(layer["kind"], layer["capacity"]) for layer in account.cache]
    asked = [
        # The query's own position is in no cache yet.
        ("ring", max(window - 1, 1)) if (window := windows[index % len(windows)]) else (kind, capacity)
        for index, (kind, capacity) in enumerate(found)
    ]
    rings = {index for index, (kind, _) in enumerate(found) if kind == "ring"}
    local = {index for index in range(len(found)) if windows[index % len(windows)]}
    if found == asked and rings == local:
        return []
    return [f"cache layers are {found} with local_global_attention={config.local_global_attention}"]


_BITS = {"fp16": 16, "fp32": 32, "bf16": 16}


def _linear_weights(config: ExportConfig, account: Account) -> list[str]:
    """Whether the program's quantized linear weights are those that torchao made: their bits, their group sizes, how many."""
    asked = collections.Counter(
        (layer["weight_bits"], layer["group_size"]) for layer in account.quantization["layers"] if layer["kind"] == "linear"
    )
    found = {(weights.bits, weights.group_size): weights.count for weights in account.realised.linear_weights}
    wrong = []
    parts = {layer["part"] for layer in account.quantization["layers"] if layer["kind"] == "linear"}
    for option, part in (("qlinear", DECODER), ("qlinear_encoder", ENCODER)):
        if getattr(config, option) is not None and part not in parts:
            wrong.append(f"no linear layer was quantized with {option}={getattr(config, option)}")
    if found != dict(asked):
        wrong.append(f"quantized linear weights are {_told(found)}, expected {_told(asked)}")
    return wrong


def _told(weights: Mapping[tuple[int, int], int]) -> str:
    """Counts by bits and group size."""
    return ", ".join(f"{n} of {bits} bits in groups of {size}" for (bits, size), n in sorted(weights.items())) or "none"
