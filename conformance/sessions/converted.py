"""A program that was quantized after it was exported, in eager PyTorch and before it is lowered: the reference for what
lowering makes of it. There is no quantized model that could be one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.sessions.protocol import SessionError, check_call
from conformance.sessions.stderr import CapturedStderr
from exporters.config import ExportConfig


def converted(checkpoint: Path, config: ExportConfig, *, task: str) -> Any:
    """The checkpoint's program, quantized and not lowered: an ``exporters.pipeline.Traced`` with the method ``forward``.

    Raises:
        ExportError: as ``exporters.pipeline.export``.
    """
    from exporters.pipeline import load_quantized, register_operators, trace

    register_operators()
    with torch.no_grad():
        return trace(load_quantized(checkpoint, config, task=task)[0], task, config)


def _runnable(program: Any) -> Any:
    """The program as a module. Of what torch asserts of its lengths some is too strict: of 64 positions it allows a call to
    begin at the first 63 (torch 2.13.0), and ExecuTorch does not look at it. The session checks what it is given."""
    module = program.module(check_guards=False)
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten._assert_scalar.default:
            module.graph.erase_node(node)
    module.recompile()
    return module


class ConvertedSession:
    """A generation session over a program of ``CausalLMExportableModule``."""

    def __init__(self, traced: Any, config: ExportConfig) -> None:
        self.max_seq_len: int = traced.max_seq_len
        self._module = _runnable(traced.programs["forward"])
        self._limit = int(traced.constant_methods["get_max_seq_len"]) if config.dynamic_shapes else 1
        self._rewinds = bool(traced.constant_methods["supports_rewind"])
        self._stderr = CapturedStderr()
        self._fed = 0

    def reset(self) -> None:
        self._fed = 0

    @torch.no_grad()
    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        if not self._rewinds and 0 < position < self._fed:
            raise SessionError(f"cannot go back to position {position} of {self._fed}: reset and feed the sequence again.")
        logits = []
        for chunk in torch.split(tokens, self._limit, dim=1):
            positions = torch.arange(position, position + chunk.shape[1])
            with self._stderr:  # custom operators say there that they make their own memory
                logits.append(self._module(chunk, positions)[0])
            position += chunk.shape[1]
            self._fed = position
        return torch.cat(logits).float()


class ConvertedInference:
    """An inference session over a program of one pass."""

    def __init__(self, traced: Any, config: ExportConfig) -> None:
        self._module = _runnable(traced.programs["forward"])
        self._padded: int | None = traced.max_seq_len if not config.dynamic_shapes else None

    @torch.no_grad()
    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        values = list(inputs.values())
        length = values[0].shape[1]
        if self._padded is not None:
            values = [torch.nn.functional.pad(value, (0, self._padded - length)) for value in values]
        output = self._module(*values)
        if isinstance(output, tuple):  # a detector's logits and boxes
            return torch.cat([each[0] for each in output], dim=-1).float()
        answers: Tensor = output[0] if output.dim() == 3 else output
        return (answers if self._padded is None else answers[:length]).float()
