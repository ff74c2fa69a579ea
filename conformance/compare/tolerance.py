"""How far a program may be from its baseline: what a configuration rounds decides."""

from __future__ import annotations

from dataclasses import dataclass

from exporters.config import ExportConfig

MAX_ABS_ERROR = 1e-3
"""Largest logit error of a program that computes in fp32, against its baseline in eager PyTorch: the same operations, added up
in another order."""


@dataclass(frozen=True)
class Tolerance:
    """Limits of the comparisons of one configuration."""

    relative: float | None = None
    """Largest relative error of the logits at a position against the baseline; ``None`` judges by ``MAX_ABS_ERROR``."""
    fed: float | None = None
    """Largest relative error at a position between two ways of feeding one program; ``None`` as above."""

    @property
    def exact(self) -> bool:
        """Whether the program computes what the baseline computes, up to the order of additions."""
        return self.relative is None


EXACT = Tolerance()
"""Measured over the twins of all families: logits off by at most 1.3e-5, also with quantized weights and float activations."""
FP16 = Tolerance(0.01, 0.005)
"""Measured, at the worst position of any twin: 4.1e-3, and 8e-4 between ways of feeding."""
BF16 = Tolerance(0.05, 0.01)
"""An eighth of the precision; measured 0.022, and nothing between ways of feeding."""
INT8_CACHE = Tolerance(0.04, 0.02)
"""A rounding that falls on the other side; measured 0.014, 1e-6 between ways of feeding."""
DYNAMIC_ACTIVATIONS = Tolerance(0.15, 0.02)
"""Activations are quantized to 8 bits for each token while running, in other kernels that round elsewhere; measured 0.068.
Another way of feeding may flip a rounding, no more; measured 0.012."""


def tolerance(config: ExportConfig) -> Tolerance:
    """The limits of a configuration: what each of its roundings may add, together. Quantized weights with float activations are
    the same numbers in the baseline, so nothing is rounded there."""
    rounded = [
        *([{"fp16": FP16, "bf16": BF16}[config.dtype]] if config.dtype != "fp32" else []),
        *([INT8_CACHE] if config.quantize_kv_cache else []),
        *([DYNAMIC_ACTIVATIONS] if any(scheme.dynamic_activations for scheme in config.linear_schemes) else []),
    ]
    if not rounded:
        return EXACT
    return Tolerance(sum(each.relative or 0 for each in rounded), sum(each.fed or 0 for each in rounded))
