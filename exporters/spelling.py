"""Linear layers in other clothes, spelled out as ``torch.nn.Linear``, which is what torchao quantizes and XNNPACK runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations import moe
from transformers.pytorch_utils import Conv1D


class DenseExperts(nn.Module):
    """A mixture of experts in which every expert answers every token, and the router's weights, zero for experts that were
    not chosen, add the answers up.

    transformers keeps the experts' weights in one parameter and gathers those that a token is routed to: a loop over data that
    cannot be traced, or a copy of the weights for each token. Here the graph is fixed and each expert is a linear layer; it
    computes (experts / chosen experts) times as much.

    Args:
        experts: transformers' module: ``gate_up_proj`` [experts, 2 x intermediate, hidden] and ``down_proj`` [experts, hidden,
            intermediate].
    """

    def __init__(self, experts: Any) -> None:
        super().__init__()
        self.act_fn = experts.act_fn
        self.up = nn.ModuleList(_linear(weight) for weight in experts.gate_up_proj.detach())
        self.down = nn.ModuleList(_linear(weight) for weight in experts.down_proj.detach())

    def forward(self, hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        """Mix.

        Args:
            hidden_states: [n, hidden].
            top_k_index: [n, k] int64, the experts that each token is routed to.
            top_k_weights: [n, k].

        Returns:
            [n, hidden].
        """
        total = torch.zeros_like(hidden_states)
        for index, (up, down) in enumerate(zip(self.up, self.down, strict=True)):
            share = torch.where(top_k_index == index, top_k_weights, 0.0).sum(-1, keepdim=True)
            gate, passed = up(hidden_states).chunk(2, dim=-1)
            total = total + share.to(hidden_states.dtype) * down(self.act_fn(gate) * passed)
        return total


def spell_out_linear_layers(model: Any) -> None:
    """Replace transformers' ``Conv1D`` (a linear layer with a transposed weight, GPT-2's), linear layers with a ``forward`` of
    their own that does the same (Falcon's), and stacked experts, in place."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, Conv1D):
                setattr(module, name, _linear(child.weight.detach().t().contiguous(), child.bias.detach()))
            elif isinstance(child, nn.Linear) and type(child).forward is not nn.Linear.forward and _is_linear(child):
                setattr(module, name, _linear(child.weight.detach(), None if child.bias is None else child.bias.detach()))
            elif _stacks_gated_experts(child):
                setattr(module, name, DenseExperts(child))


def _is_linear(layer: Any) -> bool:
    """Whether a layer answers what a linear layer with its weight and bias answers."""
    inputs = torch.linspace(-1, 1, layer.in_features, dtype=layer.weight.dtype)[None]
    answers = layer(inputs), nn.functional.linear(inputs, layer.weight, layer.bias)
    return torch.allclose(*answers, rtol=1e-2 if layer.weight.dtype is not torch.float32 else 1e-5, atol=1e-5)


def _stacks_gated_experts(module: nn.Module) -> bool:
    """Whether a module is of the form that most mixtures of experts have in transformers 5; its decorator
    ``use_experts_implementation`` leaves flags that say so."""
    if not (hasattr(module, "gate_up_proj") and hasattr(module, "down_proj")):
        return False
    flags = {
        "has_gate": True,
        "is_concatenated": True,
        "has_bias": False,
        "is_transposed": False,
        "has_post_expert_norm": False,
    }
    as_usual = all(getattr(module, name, None) is value for name, value in flags.items())
    return as_usual and getattr(type(module), "_apply_gate", None) is moe._default_apply_gate


def _linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    features_out, features_in = weight.shape
    linear = nn.Linear(features_in, features_out, bias=bias is not None, device="meta", dtype=weight.dtype)
    linear.weight = nn.Parameter(weight.clone(), requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear.eval()
