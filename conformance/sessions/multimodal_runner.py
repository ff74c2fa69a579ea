"""ExecuTorch's own ``MultimodalRunner``, in a process that may die of it."""

from __future__ import annotations

import json
import os
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conformance.sessions.protocol import SessionError
from conformance.sessions.stderr import error_lines

TIMEOUT = 300
"""Seconds."""


def ask(program: Path, tokenizer: Path, parts: Sequence[Any], *, max_seq_len: int) -> str:
    """What the runner says to a prompt, greedily. It is asked in a fork of this process, which has what it imports.

    Args:
        program: A ``.pte`` of ``MultiModalTextToTextExportableModule``.
        tokenizer: A ``tokenizer.json``.
        parts: Token ids, as lists, and what the encoder takes of images [1, channels, height, width] and sounds
            [1, mel bins, frames], in the order of the prompt.
        max_seq_len: Tokens of prompt and answer together.

    Raises:
        SessionError: it fails or dies; its reason is in the message.
    """
    with tempfile.TemporaryDirectory() as directory:
        answer, errors = Path(directory) / "answer.json", Path(directory) / "stderr.txt"
        child = os.fork()
        if child == 0:
            _answer(answer, errors, program, tokenizer, parts, max_seq_len)
        status = _wait(child)
        if status is None:
            raise SessionError(f"MultimodalRunner did not answer within {TIMEOUT} s.")
        if status == 0:
            text: str = json.loads(answer.read_text(encoding="utf-8"))
            return text
        reason = "; ".join(error_lines(errors.read_text(errors="replace"))[-2:])
        died = f"died of signal {-status}" if status < 0 else "failed"
        raise SessionError(f"MultimodalRunner {died}: {reason}")


def _answer(answer: Path, errors: Path, program: Path, tokenizer: Path, parts: Sequence[Any], max_seq_len: int) -> None:
    """Ask the runner, write down what it says, and end the process."""
    code = 1
    try:
        file = os.open(errors, os.O_WRONLY | os.O_CREAT, 0o600)
        for stream in (1, 2):
            os.dup2(file, stream)
        text = _say(program, tokenizer, parts, max_seq_len)
        answer.write_text(json.dumps(text), encoding="utf-8")
        code = 0
    except BaseException:  # whatever it is, this process goes no further than here
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _say(program: Path, tokenizer: Path, parts: Sequence[Any], max_seq_len: int) -> str:
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

    torch.set_num_threads(1)  # threads of a pool do not survive a fork
    made = []
    for part in parts:
        if isinstance(part, list):
            made.append(make_token_input(part))
        else:
            made.append(make_image_input(part) if part.dim() == 4 else make_audio_input(part))
    runner = MultimodalRunner(os.fspath(program), os.fspath(tokenizer))
    text: str = runner.generate_text(made, GenerationConfig(echo=False, temperature=0.0, seq_len=max_seq_len))
    return text


def _wait(child: int) -> int | None:
    """The exit code of a child, negative for a signal; ``None`` if it had to be killed."""
    ended = time.monotonic() + TIMEOUT
    while time.monotonic() < ended:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None
