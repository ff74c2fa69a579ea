"""ExecuTorch's own ``MultimodalRunner``, in a process that may die of it: ``python -m conformance.sessions.multimodal_runner
REQUEST``, where the request is a file that ``ask`` writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.sessions.protocol import SessionError
from conformance.sessions.stderr import error_lines

TIMEOUT = 300
"""Seconds."""


def ask(program: Path, tokenizer: Path, parts: Sequence[Any], *, max_seq_len: int) -> str:
    """What the runner says to a prompt, greedily.

    Args:
        program: A ``.pte`` of ``MultiModalTextToTextExportableModule``.
        tokenizer: A ``tokenizer.json``.
        parts: Token ids, as lists, and what the encoder takes of images [1, channels, height, width] and sounds
            [1, mel bins, frames], in the order of the prompt.
        max_seq_len: Tokens of prompt and answer together.

    Raises:
        SessionError: it fails or dies; its reason is in the message.
    """
    import torch

    with tempfile.TemporaryDirectory() as directory:
        request = Path(directory) / "request.pt"
        asked = {"program": os.fspath(program), "tokenizer": os.fspath(tokenizer), "max_seq_len": max_seq_len}
        torch.save({**asked, "parts": list(parts)}, request)
        try:
            done = subprocess.run(
                [sys.executable, "-m", "conformance.sessions.multimodal_runner", os.fspath(request)],
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise SessionError(f"MultimodalRunner did not answer within {TIMEOUT} s.") from error
        answer = Path(directory) / "answer.json"
        if done.returncode == 0 and answer.is_file():
            text: str = json.loads(answer.read_text(encoding="utf-8"))
            return text
        reason = "; ".join(error_lines(done.stderr.decode(errors="replace"))[-2:])
        died = f"died of signal {-done.returncode}" if done.returncode < 0 else "failed"
        raise SessionError(f"MultimodalRunner {died}: {reason}")


def main() -> None:
    import executorch.extension.llm.custom_ops.custom_ops
    import executorch.kernels.quantized  # noqa: F401
    import torch
    from executorch.extension.llm.runner import (
        GenerationConfig,
        MultimodalRunner,
        make_audio_input,
        make_image_input,
        make_token_input,
    )

    path = Path(sys.argv[1])
    request = torch.load(path, weights_only=True)
    parts = []
    for part in request["parts"]:
        if isinstance(part, list):
            parts.append(make_token_input(part))
        else:
            parts.append(make_image_input(part) if part.dim() == 4 else make_audio_input(part))
    runner = MultimodalRunner(request["program"], request["tokenizer"])
    config = GenerationConfig(echo=False, temperature=0.0, seq_len=request["max_seq_len"])
    text = runner.generate_text(parts, config)
    (path.parent / "answer.json").write_text(json.dumps(text), encoding="utf-8")


if __name__ == "__main__":
    main()
