"""Quantization with torchao, and a report of what was really quantized."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from exporters.components import encoders
from exporters.config import PER_CHANNEL, QEMBEDDING, QLINEAR, ExportConfig, Scheme
from exporters.errors import ExportError, NotApplicableError
from exporters.spelling import spell_out_linear_layers
from exporters.wrappers.modalities import modality_encoder
from exporters.wrappers.source import source_of
from exporters.wrappers.vision import image_size, one_image

_INT4: Any = getattr(torch, "int4")  # noqa: B009 - torch 2.13.0 has it, its type stubs do not

ENCODER, DECODER = "encoder", "decoder"


@dataclass(frozen=True)
class QuantizedLayer:
    """A layer whose weight was quantized, read back from the weight itself."""

    name: str
    kind: str
    """``linear`` or ``embedding``."""
    weight_bits: int
    group_size: int
    """Values along the last dimension of the weight that share a scale."""
    shape: tuple[int, ...]
    part: str = DECODER
    """``ENCODER`` of a layer in front of a decoder, otherwise ``DECODER``."""


@dataclass(frozen=True)
class SkippedLayer:
    """A linear layer that was left as it is."""

    name: str
    reason: str


@dataclass(frozen=True)
class QuantizationReport:
    """What ``quantize`` did."""

    layers: tuple[QuantizedLayer, ...] = ()
    skipped: tuple[SkippedLayer, ...] = ()
    untied: bool = False
    """Whether the embedding and the output layer shared a weight and were given one each."""
    linear_share: float = 0.0
    """Share of the linear layers' parameters that were quantized, from 0 to 1."""

    def joined(self, later: QuantizationReport) -> QuantizationReport:
        """Together with what was quantized of the linear layers afterwards."""
        return replace(self, layers=(*self.layers, *later.layers), linear_share=later.linear_share)


def quantize(model: Any, config: ExportConfig) -> QuantizationReport:
    """Quantize a transformers model in place as ``config`` asks (``exporters.config.QLINEAR`` and ``QEMBEDDING``).

    Weights are quantized symmetrically. Dynamic activations are quantized asymmetrically, scaled for each token while running.

    Raises:
        ExportError: the group size does not divide a layer's input features, where the scheme has no fallback and
            ``allow_skipped_layers`` was not given; weights stand outside of linear layers; or torchao did something else than
            it was asked.
    """
    if not any((config.qlinear, config.qembedding, config.qlinear_encoder, config.qembedding_encoder)):
        return QuantizationReport()
    spell_out_linear_layers(model)
    front = {id(module) for encoder in encoders(model) for module in encoder.modules()}
    if not front and (config.qlinear_encoder or config.qembedding_encoder):
        option = "qlinear_encoder" if config.qlinear_encoder else "qembedding_encoder"
        raise NotApplicableError(
            f"{option}: {type(model).__name__} has no encoder in front of a decoder; {option.removesuffix('_encoder')} "
            "quantizes all of it."
        )
    parts = [_Part.of(DECODER, model, config, lambda module: id(module) not in front)]
    parts += [_Part.of(ENCODER, model, config.of_encoder, lambda module: id(module) in front)] if front else []
    skipped = [layer for part in parts for layer in part.check(model)]
    # Nothing was touched so far: a refusal leaves the model as it was.
    untied = _untie(model)
    layers = [layer for part in parts for layer in part.quantize()]
    done = {layer.name for layer in layers}
    sizes = {name: size for part in parts for name, size in part.sizes.items()}
    share = sum(size for name, size in sizes.items() if name in done) / sum(sizes.values()) if sizes else 0.0
    return QuantizationReport(layers=tuple(layers), skipped=tuple(skipped), untied=untied, linear_share=share)


@dataclass(frozen=True)
class _Part:
    """The layers of a model, or of its encoder or decoder, that are quantized alike."""

    name: str
    """``ENCODER`` or ``DECODER``."""
    config: ExportConfig
    linears: Mapping[str, nn.Linear]
    embeddings: Mapping[str, nn.Embedding]
    kept: Mapping[str, str]
    """Embeddings that are left as they are, each with the reason."""
    uncalled: Mapping[str, str]
    """Linear layers that are never called or whose answer is not used, each with the reason."""
    sizes: Mapping[str, int]
    """Numbers of each linear layer's weight."""

    @classmethod
    def of(cls, name: str, model: Any, config: ExportConfig, belongs: Callable[[nn.Module], bool]) -> _Part:
        linears = {name: each for name, each in model.named_modules() if isinstance(each, nn.Linear) and belongs(each)}
        embeddings = {name: each for name, each in model.named_modules() if isinstance(each, nn.Embedding) and belongs(each)}
        kept = _kept(model, embeddings, config) if config.qembedding is not None else {}
        return cls(
            name=name,
            config=config,
            linears=linears,
            embeddings={name: each for name, each in embeddings.items() if name not in kept},
            kept=kept,
            uncalled=_uncalled(model, linears, config) if config.qlinear is not None else {},
            sizes={name: module.weight.numel() for name, module in linears.items()},
        )

    @property
    def undivided(self) -> list[str]:
        """Linear layers that the group size does not divide."""
        size = self.config.group_size
        return [name for name, each in self.linears.items() if name not in self.uncalled and size and each.in_features % size]

    def check(self, model: Any) -> list[SkippedLayer]:
        """The layers that will be left as they are; raises as ``quantize`` does."""
        skipped = _check(model, self.linears, self.undivided, self.embeddings, self.config)
        if self.config.qembedding is not None and not self.embeddings:
            raise NotApplicableError(f"{type(model).__name__} has no embedding of tokens there that could be quantized.")
        return [
            *skipped,
            *(SkippedLayer(name, why) for name, why in {**self.uncalled, **self.kept}.items()),
        ]

    def quantize(self) -> list[QuantizedLayer]:
        """Quantize them, and read back what was done to them."""
        config = self.config
        layers: list[QuantizedLayer] = []
        if config.qlinear is not None:
            scheme = QLINEAR[config.qlinear]
            undivided = self.undivided
            divided = [name for name in self.linears if name not in (*undivided, *self.uncalled)]
            layers += _quantize(self.linears, divided, "linear", scheme, config.group_size)
            if scheme.fallback is not None:
                layers += _quantize(self.linears, undivided, "linear", QLINEAR[scheme.fallback], PER_CHANNEL)
        if config.qembedding is not None:
            for module in self.embeddings.values():
                # executorch 1.4.1 does not fuse a dequantized embedding that has one ("Missing out variants:
                # torchao::dequantize_affine"); it matters for training only.
                module.padding_idx = None
            scheme = QEMBEDDING[config.qembedding]
            layers += _quantize(self.embeddings, list(self.embeddings), "embedding", scheme, config.embedding_group_size)
        return [replace(layer, part=self.name) for layer in layers]


def _check(
    model: Any,
    linears: Mapping[str, nn.Linear],
    undivided: Sequence[str],
    embeddings: Mapping[str, nn.Embedding],
    config: ExportConfig,
) -> list[SkippedLayer]:
    """The layers that will be left as they are.

    Raises:
        NotApplicableError: there are some, and ``allow_skipped_layers`` was not given; or the embedding cannot be divided.
    """
    group = config.embedding_group_size
    for name, embedding in embeddings.items() if config.qembedding is not None else ():
        if group and embedding.embedding_dim % group:
            raise NotApplicableError(
                f"qembedding_group_size {group} does not divide the {embedding.embedding_dim} values of a row of {name}. Use a "
                "group size that does, or 0 for one scale a row."
            )
    if config.qlinear is None:
        return []
    stacked = _stacked_weights(model)
    skipped = [] if QLINEAR[config.qlinear].fallback else [_undivided(name, linears[name], config) for name in undivided]
    skipped += stacked
    if skipped and not config.allow_skipped_layers:
        named = "; ".join(f"{layer.name}: {layer.reason}" for layer in skipped[:4])
        more = f"; and {len(skipped) - 4} more" if len(skipped) > 4 else ""
        smaller = "Use a smaller group size, or " if len(skipped) > len(stacked) else "Use "
        raise NotApplicableError(
            f"qlinear {config.qlinear!r} with the group size {config.group_size} does not take every linear layer "
            f"({named}{more}). {smaller}--allow-skipped-layers to leave them unquantized."
        )
    return skipped


def _undivided(name: str, module: nn.Linear, config: ExportConfig) -> SkippedLayer:
    return SkippedLayer(name, f"{module.in_features} input features are no multiple of the group size {config.group_size}")


def is_quantized(layer: nn.Module, *, activations: bool | None = None) -> bool:
    """Whether torchao has quantized a layer's weight.

    Args:
        activations: Only with dynamically quantized activations, or only without; ``None`` takes both.
    """
    weight: Any = layer.weight
    quantized = hasattr(weight, "qdata")
    return quantized and activations in (None, getattr(weight, "activation_quantization", None) is not None)


def _quantize(modules: Mapping[str, Any], names: Sequence[str], kind: str, scheme: Scheme, group: int) -> list[QuantizedLayer]:
    """Quantize the modules called ``names`` and read back what was done to them."""
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerAxis, PerGroup

    granularity = PerAxis(0) if group == PER_CHANNEL else PerGroup(group)
    dtype = _INT4 if scheme.weight_bits == 4 else torch.int8
    if scheme.dynamic_activations:
        recipe: Any = Int8DynamicActivationIntxWeightConfig(weight_dtype=dtype, weight_granularity=granularity)
    else:
        recipe = IntxWeightOnlyConfig(weight_dtype=dtype, granularity=granularity)
    for name in names:
        quantize_(modules[name], recipe, lambda module, _: True)
    return [_read_back(name, modules[name], kind, scheme.weight_bits, group) for name in names]


def _uncalled(model: Any, linears: Mapping[str, nn.Module], config: ExportConfig) -> dict[str, str]:
    """Layers whose weight a model multiplies itself (Mamba's ``dt_proj``): quantized weights only work inside of a layer. And
    layers behind the one whose answer an encoder gives (LLaVA's last), which are in no program."""
    called: set[nn.Module] = set()
    unused: set[nn.Module] = set()
    hooks = [module.register_forward_pre_hook(lambda module, _: called.add(module)) for module in linears.values()]
    try:
        with torch.no_grad():
            model(**_example(model, config))
        if not model.config.is_encoder_decoder and encoders(model):
            unused = _unused(model, linears, config)
    finally:
        for hook in hooks:
            hook.remove()
    reasons = {name: "its answer is not used" for name, module in linears.items() if module in unused}
    return reasons | {
        name: "the model reads its weight and never calls it as a layer"
        for name, module in linears.items()
        if module not in called
    }


def _unused(model: Any, linears: Mapping[str, nn.Module], config: ExportConfig) -> set[nn.Module]:
    """The layers of an encoder of images or sound on which its embeddings do not depend."""
    inside = {module for root in encoders(model) for module in root.modules()}
    layers = [module for module in linears.values() if module in inside]
    encoder = modality_encoder(model, config)
    weights: list[Any] = [layer.weight for layer in layers]
    with torch.enable_grad():
        for weight in weights:
            weight.requires_grad_(True)
        found = encoder(*encoder.example())
        embeddings = found if isinstance(found, torch.Tensor) else found[0]
        gradients = torch.autograd.grad(embeddings.sum(), weights, allow_unused=True) if weights else ()
    for weight in weights:
        weight.requires_grad_(False)
    return {layer for layer, gradient in zip(layers, gradients, strict=True) if gradient is None}


SCORES = "relative_attention_bias"
"""What T5 calls a table of biases of attention scores: an embedding of distances, with a number for each head."""


def _kept(model: Any, embeddings: Mapping[str, nn.Module], config: ExportConfig) -> dict[str, str]:
    """Embeddings of an encoder-decoder model that are no tables of tokens or positions which are looked up, each with the
    reason; of other models every embedding is one."""
    if not model.config.is_encoder_decoder:
        return {}
    called: set[nn.Module] = set()
    hooks = [module.register_forward_pre_hook(lambda module, _: called.add(module)) for module in embeddings.values()]
    try:
        with torch.no_grad(), _Lookups() as lookups:
            model(**_example(model, config))
    finally:
        for hook in hooks:
            hook.remove()
    kept = {}
    sound = set(model.get_encoder().modules()) if model.main_input_name != "input_ids" else set()
    for name, module in embeddings.items():
        if name.endswith(SCORES):
            kept[name] = "it holds biases of attention scores"
        elif module in sound:
            kept[name] = "it holds positions of a sound"
        elif module not in called:
            kept[name] = "it is never called; the encoder and the decoder have embeddings of their own"
        elif id(module.weight) not in lookups.tables:
            kept[name] = "the model reads its weight and never looks anything up in it as a layer"
    return kept


class _Lookups(TorchFunctionMode):
    """Notes the tables that something is looked up in."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: set[int] = set()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is nn.functional.embedding:
            self.tables.add(id(args[1]))
        return function(*args, **(kwargs or {}))


def _example(model: Any, config: ExportConfig) -> dict[str, torch.Tensor]:
    """Some input of the model."""
    name = model.main_input_name
    if name == "pixel_values":
        return {name: one_image(model, *image_size(model, config))}
    if name == "input_ids":
        example = {name: torch.zeros(1, 2, dtype=torch.long)}
    else:
        example = {name: source_of(model, config).example(model.dtype)[0]}
    written = {"decoder_input_ids": torch.zeros(1, 2, dtype=torch.long)} if model.config.is_encoder_decoder else {}
    return example | written


def _stacked_weights(model: Any) -> list[SkippedLayer]:
    """Weights of several linear layers in one parameter, as mixtures of experts have them: torchao leaves them alone."""
    return [
        SkippedLayer(name, f"it stacks the weights of {parameter.shape[0]} linear layers, which no scheme takes")
        for name, parameter in model.named_parameters()
        if parameter.dim() == 3 and "expert" in name
    ]


def _untie(model: Any) -> bool:
    """Give the output layer a weight of its own; embedding and output layer are quantized differently."""
    head = model.get_output_embeddings()
    if head is None or head.weight is not model.get_input_embeddings().weight:
        return False
    head.weight = nn.Parameter(head.weight.detach().clone(), requires_grad=False)
    return True


def _read_back(name: str, module: Any, kind: str, bits: int, group: int) -> QuantizedLayer:
    weight: Any = module.weight
    group = group or weight.shape[-1]
    block = tuple(getattr(weight, "block_size", ()))
    found_bits = {_INT4: 4, torch.int8: 8}.get(getattr(weight, "target_dtype", None))
    if block != (1, group) or found_bits != bits:
        raise ExportError(
            f"torchao quantized {name} with blocks of {block or 'nothing'} to {found_bits or 'no'} bits, "
            f"where groups of {group} and {bits} bits were asked for."
        )
    return QuantizedLayer(name=name, kind=kind, weight_bits=bits, group_size=group, shape=tuple(weight.shape))
