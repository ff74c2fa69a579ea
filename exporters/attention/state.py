"""The state of layers that do not attend: the last inputs of a short convolution, and the state of a recurrence."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StateLayer(nn.Module):
    """What transformers calls a linear-attention layer's cache, with states that are always initialised.

    Args:
        convolution: A convolution's state as the model made it, [1, channels, width]; ``None`` without one.
        recurrence: A recurrence's state as the model made it; ``None`` without one.
    """

    kind = "state"
    sliding = False
    heads = 0
    key_dim = 0

    def __init__(self, convolution: Tensor | None, recurrence: Tensor | None) -> None:
        super().__init__()
        self.capacity = 0 if convolution is None else convolution.shape[-1]
        states = [state for state in (convolution, recurrence) if state is not None]
        self.bits = 8 * states[0].dtype.itemsize
        self.convolution: Tensor | None
        self.recurrence: Tensor | None
        self.register_buffer("convolution", None if convolution is None else torch.zeros_like(convolution))
        self.register_buffer("recurrence", None if recurrence is None else torch.zeros_like(recurrence))

    def begin(self, positions: Tensor) -> None:
        """Forget the past where a call begins a sequence, at position 0."""
        going_on = positions[0] > 0
        for state in (self.convolution, self.recurrence):
            if state is not None:
                state.mul_(going_on.to(state.dtype))

    def extend(self, inputs: Tensor) -> Tensor:
        """The convolution's last inputs followed by new ones, [1, channels, width + n]; the last ``width`` are kept."""
        assert self.convolution is not None
        seen = torch.cat([self.convolution, inputs], dim=-1)
        self.convolution.copy_(seen[..., -self.convolution.shape[-1] :])
        return seen
