"""``.pt2`` files in torch and ``.onnx`` files in onnxruntime behind the sessions' protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from conformance.sessions.protocol import SessionError, check_call
from exporters.graphs import Graphs


class TorchDecoder:
    """A ``.pt2`` of ``CausalLMExportableModule``, as a generation session: its KV cache is its own."""

    def __init__(self, graphs: Graphs) -> None:
        self.max_seq_len = int(graphs.account.max_seq_len or 0)
        self._limit = self.max_seq_len if graphs.config.dynamic_shapes else 1
        self._module: Any = torch.export.load(graphs.program).module()
        self._fed = 0

    def reset(self) -> None:
        self._fed = 0

    @torch.no_grad()
    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        logits = []
        for chunk in torch.split(tokens, self._limit, dim=1):
            end = position + chunk.shape[1]
            logits.append(self._module(chunk.contiguous(), torch.arange(position, end))[0])
            self._fed = position = end
        return torch.cat(logits).float()


class OnnxDecoder:
    """A ``.onnx`` of ``DecoderWithPast``, as a generation session that keeps the keys and values."""

    def __init__(self, graphs: Graphs) -> None:
        self.max_seq_len = int(graphs.account.max_seq_len or 0)
        self._limit = self.max_seq_len if graphs.config.dynamic_shapes else 1
        self._session = open_onnx(graphs)
        self._inputs = {each.name: each for each in self._session.get_inputs()}
        self._outputs = [each.name for each in self._session.get_outputs()]
        self._past: dict[str, Any] = {}
        self.reset()

    def reset(self) -> None:
        import numpy

        kinds = {"tensor(float)": numpy.float32, "tensor(float16)": numpy.float16}
        self._past = {
            name: numpy.zeros([size if isinstance(size, int) else 0 for size in each.shape], kinds[each.type])
            for name, each in self._inputs.items()
            if name.startswith("past_key_values.")
        }
        self._fed = 0

    def forward(self, tokens: Tensor, position: int) -> Tensor:
        check_call(tokens, position, fed=self._fed, max_seq_len=self.max_seq_len)
        if position < self._fed:
            self._past = {name: value[:, :, :position] for name, value in self._past.items()}
        logits = []
        for chunk in torch.split(tokens, self._limit, dim=1):
            feed = {**self._past, "input_ids": chunk.numpy()}
            if "position_ids" in self._inputs:
                feed["position_ids"] = torch.arange(position, position + chunk.shape[1]).unsqueeze(0).numpy()
            answers = dict(zip(self._outputs, self._session.run(None, feed), strict=True))
            logits.append(torch.from_numpy(answers.get("logits", answers.get("last_hidden_state")))[0])
            self._past = {name: answers[name.replace("past_key_values", "present", 1)] for name in self._past}
            position += chunk.shape[1]
            self._fed = position
        return torch.cat(logits).float()


class GraphInference:
    """A ``.pt2`` or ``.onnx`` of one pass, as an inference session; a text is padded where shapes are static."""

    def __init__(self, graphs: Graphs) -> None:
        self._length = None if graphs.config.dynamic_shapes else graphs.account.max_seq_len
        self._dtype = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[graphs.config.dtype]
        if graphs.account.format == "onnx":
            session = open_onnx(graphs)
            names = [each.name for each in session.get_inputs()]

            def run(values: Mapping[str, Tensor]) -> list[Tensor]:
                feed = {name: value.numpy() for name, value in zip(names, values.values(), strict=True)}
                return [torch.from_numpy(each) for each in session.run(None, feed)]
        else:
            module: Any = torch.export.load(graphs.program).module()

            def run(values: Mapping[str, Tensor]) -> list[Tensor]:
                answer = module(*values.values())
                return [answer] if isinstance(answer, Tensor) else list(answer)

        self._run = run

    @torch.no_grad()
    def infer(self, inputs: Mapping[str, Tensor]) -> Tensor:
        values = {
            name: (value.to(self._dtype) if value.is_floating_point() else value).contiguous() for name, value in inputs.items()
        }
        reads = "input_ids" in values
        length = values["input_ids"].shape[1] if reads else None
        if reads and self._length is not None:
            room = self._length - values["input_ids"].shape[1]
            if room < 0:
                raise SessionError(f"the text has {length} tokens, and the graph takes {self._length}. Shorten it.")
            values = {name: torch.nn.functional.pad(value, (0, room)) for name, value in values.items()}
        answers = [each.float() for each in self._run(values)]
        if len(answers) > 1:
            return torch.cat([each[0] for each in answers], dim=-1)
        hears = not reads and "pixel_values" not in values
        return answers[0][0, :length] if reads or hears else answers[0]


def open_onnx(graphs: Graphs) -> Any:
    """An ``onnxruntime.InferenceSession`` on one thread.

    Raises:
        SessionError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise SessionError("to run ONNX graphs: pip install 'executorch-zoo[onnx]'.") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # errors; it warns of weights that nothing uses
    return onnxruntime.InferenceSession(str(graphs.program), options, providers=["CPUExecutionProvider"])
