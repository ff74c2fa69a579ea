"""What the training of every twin is made of: steps on one thread until a margin is good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

MARGIN = 0.5
"""Smallest top-2 logit margin a twin may have on its continuations."""

GOOD_MARGIN = 2.0
"""Training stops once every margin is at least this: far enough above ``MARGIN`` to survive 4-bit weights."""

TEMPERATURE = 0.1

LEARNING_RATE = 3e-3

STEPS_A_ROUND = 20

MAX_STEPS = 400


def fit(model: nn.Module, loss: Callable[[], torch.Tensor], margin: Callable[[], float], *, good: float) -> float:
    """Minimise ``loss`` on one thread until ``margin`` is ``good`` or the steps are used up; returns the margin."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        optimiser = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
        worst = float("-inf")
        for step in range(1, MAX_STEPS + 1):
            # Without dropout: a twin learns by heart.
            model.eval()
            for norm in batch_norms(model):
                norm.train()
            optimiser.zero_grad()
            loss().backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            if step % STEPS_A_ROUND == 0:
                model.eval()
                worst = margin()
                if worst >= good:
                    break
    finally:
        torch.set_num_threads(threads)
    model.eval()
    return worst


@torch.no_grad()
def worst_margin(logits: torch.Tensor, targets: torch.Tensor) -> float:
    """The smallest margin: the target's logit less the largest other one; logits [n, classes], targets [n]."""
    chosen = logits.gather(1, targets[:, None])[:, 0]
    return float((chosen - logits.scatter(1, targets[:, None], float("-inf")).amax(1)).min())


@torch.no_grad()
def calibrate(model: nn.Module, run: Callable[[], object]) -> None:
    """Give batch norm the statistics of what ``run`` feeds; the model is left in evaluation mode."""
    norms = batch_norms(model)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of what is fed, not a moving one
        norm.train()
    if norms:
        run()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()


def batch_norms(model: nn.Module) -> list[nn.BatchNorm1d | nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]


def frozen_norms(model: nn.Module) -> list[Any]:
    """Batch norm whose statistics are constants: detectors keep those that their backbone was trained with. Each has a class of
    its own in transformers 5.23.0, called after what it is."""
    return [module for module in model.modules() if type(module).__name__.endswith("FrozenBatchNorm2d")]


@torch.no_grad()
def calibrate_frozen(model: nn.Module, run: Callable[[], object]) -> None:
    """Give frozen batch norm the statistics of what ``run`` feeds, each layer with those before it calibrated already."""

    def take(module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
        module.running_mean.copy_(inputs[0].mean((0, 2, 3)))
        module.running_var.copy_(inputs[0].var((0, 2, 3)))

    hooks = [norm.register_forward_pre_hook(take) for norm in frozen_norms(model)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()


def spread(network: nn.Module) -> None:
    """Start convolutions as deep networks need it: transformers starts them so small that batch norm's epsilon swallows what
    they answer, and nothing is learned."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
