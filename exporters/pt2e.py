"""Quantization of exported programs (PT2E): the linear layers of a traced graph, by ExecuTorch's ``XNNPACKQuantizer``."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import torch

from exporters.config import PT2E, ExportConfig
from exporters.errors import ExportError, NotApplicableError
from exporters.quantize import QuantizationReport, QuantizedLayer

if TYPE_CHECKING:
    from exporters.wrappers import ExportableMethod


def quantize_program(program: Any, method: ExportableMethod, config: ExportConfig) -> tuple[Any, QuantizationReport]:
    """Quantize the linear layers of a program as ``config.pt2e_quantize`` asks (``exporters.config.PT2E``).

    Weights are quantized symmetrically, one scale an output channel; activations asymmetrically, scaled for each token while
    running.

    Args:
        program: A method's ``ExportedProgram``.
        method: What it was exported from.
        config: What is asked for.

    Returns:
        The quantized ``ExportedProgram``, and what was to be quantized: every linear layer.

    Raises:
        NotApplicableError: there is no linear layer.
        ExportError: the quantizer did something else than it was asked.
    """
    from executorch.backends.transforms.duplicate_dynamic_quant_chain import DuplicateDynamicQuantChainPass
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    assert config.pt2e_quantize is not None
    bits = PT2E[config.pt2e_quantize].weight_bits
    report, calls = _asked(program, bits)
    largest = 2 ** (bits - 1) - 1
    quantizer = _quantizer()
    quantizer.set_operator_type(
        torch.ops.aten.linear.default,
        # The ranges are those of ExecuTorch's extension/llm/export/quantizer_lib.py (executorch 1.4.1).
        get_symmetric_quantization_config(
            is_per_channel=True, is_dynamic=True, weight_qmin=-largest - (bits < 8), weight_qmax=largest
        ),
    )
    graph = prepare_pt2e(program.module(check_guards=False), quantizer)
    _observe_weights(graph)
    graph = convert_pt2e(graph)
    DuplicateDynamicQuantChainPass()(graph)
    made = _scale_each_token(graph)
    if made != calls:
        raise ExportError(f"pt2e_quantize {config.pt2e_quantize!r} quantized {made} calls of linear layers of {calls}.")
    return (
        torch.export.export(
            graph,
            method.example_inputs,
            dynamic_shapes=method.dynamic_shapes,
            strict=False,
            prefer_deferred_runtime_asserts_over_guards=method.deferred,
        ),
        report,
    )


def _observe_weights(graph: Any) -> None:
    """Show the weights of linear layers to their observers. The program is not run: what is observed of activations is not
    used, and a run would leave its numbers in the KV cache.

    Raises:
        ExportError: a layer multiplies with something else than a weight.
    """
    for node in graph.graph.nodes:
        if node.target is not torch.ops.aten.linear.default:
            continue
        observer = node.args[1]
        if observer.op != "call_module" or observer.args[0].op != "get_attr":
            raise ExportError(f"pt2e_quantize: {node.name} has no weight of its own to quantize; export without it.")
        weight = operator.attrgetter(observer.args[0].target)(graph)
        graph.get_submodule(observer.target)(weight)


def _quantizer() -> Any:
    """ExecuTorch's quantizer, which leaves what it does not quantize as it is.

    Its own first step (executorch 1.4.1; docs/upstream.md) turns the numbers that sums and products have as operands into fp32
    tensors, also those of whole numbers: slots of a cache then are fractions, which the operators refuse.
    """
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer

    class Quantizer(XNNPACKQuantizer):  # type: ignore[misc]
        def transform_for_annotation(self, model: Any) -> Any:
            return model

    return Quantizer()


def _asked(program: Any, bits: int) -> tuple[QuantizationReport, int]:
    """The linear layers of a program, and how often they are called."""
    signature = program.graph_signature
    weights = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    calls = [node for node in program.graph.nodes if node.target is torch.ops.aten.linear.default]
    constant = [node.args[1] for node in calls if node.args[1].name in weights]
    shapes = {weights[weight.name]: tuple(weight.meta["val"].shape) for weight in constant}
    if not shapes:
        raise NotApplicableError("pt2e_quantize: the model has no linear layer; export without it.")
    layers = tuple(
        QuantizedLayer(name=name.removesuffix(".weight"), kind="linear", weight_bits=bits, group_size=shape[-1], shape=shape)
        for name, shape in shapes.items()
    )
    return QuantizationReport(layers=layers, linear_share=1.0), len(calls)


def _scale_each_token(graph: Any) -> int:
    """Scale the activations of each token by themselves; returns the number of places.

    The quantizer writes one scale for all tokens of a call, and XNNPACK's delegate computes one for each whatever it says
    (executorch 1.4.1, ``backends/xnnpack/operators/node_visitor.py``; docs/upstream.md). The program says what is computed.
    """
    decomposed: Any = torch.ops.quantized_decomposed
    places = 0
    for node in graph.graph.nodes:
        if node.target is decomposed.choose_qparams.tensor:
            node.target = decomposed.choose_qparams_per_token_asymmetric.default
            node.args = (node.args[0], node.args[-1])
            places += 1
        elif node.target is decomposed.quantize_per_tensor.tensor:
            node.target = decomposed.quantize_per_token.default
        elif node.target is decomposed.dequantize_per_tensor.tensor:
            node.target = decomposed.dequantize_per_token.default
            node.args, node.kwargs = (*node.args[:6], torch.float32), {}
    graph.recompile()
    return places
