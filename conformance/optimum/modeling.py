"""Runs an exported program as transformers' models are run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance.generate import generate
from conformance.sessions.multimodal import MultimodalSession


class ExecuTorchModelForImageTextToTextCausalLM:
    """A program that looks at images and writes.

    Args:
        model: What ``export_to_executorch_with_xnnpack`` returns.
        config: The transformers configuration of the checkpoint.
        threads: Threads of the runtime.
    """

    def __init__(self, model: Any, config: Any, *, threads: int = 1) -> None:
        self.config = config
        self._directory = tempfile.TemporaryDirectory()
        path = Path(self._directory.name) / "model.pte"
        with path.open("wb") as file:
            model.write_to_file(file)
        self.session = MultimodalSession(path, threads=threads)

    def generate(
        self,
        input_ids: Tensor,
        pixel_values: Tensor | None = None,
        *,
        max_new_tokens: int = 64,
        eos_token_id: int | list[int] | None = None,
    ) -> Tensor:
        """Continue a prompt greedily.

        Args:
            input_ids: [1, n] int64, with the placeholders of every image.
            pixel_values: A row for each image, as the checkpoint's image processor makes them; ``None`` without images.
            max_new_tokens: Tokens at most.
            eos_token_id: Tokens that end the text; ``None`` takes those of the program.

        Returns:
            [1, n + new tokens] int64.

        Raises:
            SessionError: the prompt does not fit, or has other placeholders than the images have embeddings.
        """
        self.session.condition({} if pixel_values is None else {"pixel_values": pixel_values})
        ends = self.session.constant("get_eos_ids", []) if eos_token_id is None else eos_token_id
        eos = [ends] if isinstance(ends, int) else list(ends)
        said = generate(self.session, input_ids[0].tolist(), max_new_tokens=max_new_tokens, eos_ids=eos)
        return torch.cat([input_ids, torch.tensor([said.tokens], dtype=torch.long)], dim=1)
