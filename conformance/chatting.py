"""What ``zoo chat`` talks to: a twin or an artifact, and the conversation so far."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from zoo import registry
from zoo.errors import unknown

if TYPE_CHECKING:
    from conformance.inference.text import Generated, TextGeneration
    from zoo.model import Model

CONFIGURATIONS = ("xnnpack-fp32-sdpa-kv", "xnnpack-fp32", "xnnpack-fp32-static")
"""A twin is exported under the first that applies to its architecture."""
TASK = "text-generation"


@dataclass
class Conversation:
    """Prompts and answers in turn, as the tokenizer's chat template puts them. Without a template nothing is kept, and each
    prompt is continued by itself."""

    model: TextGeneration

    def __post_init__(self) -> None:
        self.messages: list[dict[str, str]] = []

    @property
    def remembers(self) -> bool:
        """Whether there is a chat template."""
        return bool(self.model.tokenizer.chat_template)

    def reset(self) -> None:
        """Forget what was said."""
        self.messages = []

    def ask(self, prompt: str, *, max_new_tokens: int | None, on_text: Callable[[str], None]) -> Generated:
        """The answer to a prompt; it is remembered, unless it is interrupted or refused.

        Raises:
            SessionError: the conversation no longer fits into the context.
        """
        if not self.remembers:
            return self.model.generate(prompt, max_new_tokens=max_new_tokens, on_text=on_text)
        asked = [*self.messages, {"role": "user", "content": prompt}]
        ids = self.model.tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=True, return_dict=False)
        if len(ids) > self.model.max_seq_len:
            raise SessionError(
                f"the conversation has {len(ids)} tokens, and the context {self.model.max_seq_len}: /reset begins a new one."
            )
        said = self.model.generate(ids, max_new_tokens=max_new_tokens, on_text=on_text)
        self.messages = [*asked, {"role": "assistant", "content": said.text}]
        return said


def check_chat(task: str, subject: str) -> None:
    """Refuse what does not chat.

    Raises:
        ConformanceError: it does something else; the message names the command that runs it.
    """
    from conformance.inference import COMMANDS

    if task != TASK:
        runs = f"'{COMMANDS[task]}' runs its program" if task in COMMANDS else "'conformance.load' in Python runs its program"
        raise ConformanceError(f"{subject} does {task}, and a chat needs {TASK}: {runs}.")


def row_of(name: str) -> Model | None:
    """The registry's row of a name; ``None`` if it is the path of a program or of a directory with one.

    Raises:
        ZooError: it is neither.
    """
    rows = registry.models()
    if name in rows:
        return rows[name]
    if name and Path(name).exists():
        return None
    if name.endswith(".pte") or os.sep in name:
        raise SessionError(f"{name} does not exist. 'zoo export' makes a .pte.")
    raise unknown("model", name, rows, hint="The path of a program works, too.")


def exported_twin(row: Model, on_stage: Callable[[str, Any], None] | None = None) -> tuple[Path, Path]:
    """The program of a model's twin, from the artifact cache or exported now, and the twin, which has the tokenizer."""
    from conformance.artifacts import cached_export
    from conformance.matrix import Cell
    from exporters.config import ExportConfig
    from zoo import checkpoints

    chosen = next(name for name in CONFIGURATIONS if Cell(row, name).inapplicable is None)
    checkpoint = checkpoints.resolve(row)
    config = ExportConfig.from_id(chosen, max_seq_len=row.twin.max_seq_len)
    return cached_export(checkpoint, config, task=row.task, on_stage=on_stage)[0].program, checkpoint


def opened(program: Path, tokenizer: Path | None, *, threads: int) -> TextGeneration:
    """A program to chat with.

    Raises:
        SessionError: it is missing or damaged.
        ConformanceError: it does something else, or has no tokenizer.
    """
    from conformance.inference import load
    from conformance.inference.base import companions_of, program_of, task_of

    path = program_of(program)
    check_chat(task_of(path), str(program))
    companions_of(path, tokenizer)
    return cast("TextGeneration", load(path, task=TASK, tokenizer=tokenizer, threads=threads))
