"""What ``zoo export`` and ``zoo generate`` do around the exporter: find the checkpoint, check the program, run it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.record import Check
from conformance.sessions.protocol import SessionError
from exporters.artifact import Artifact
from zoo import checkpoints, registry
from zoo.errors import unknown

TOKENIZER_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
)
CHECK_TOKENS = 64


def checkpoint(model: str, *, scale: str = "twin", revision: str | None = None) -> Path:
    """The checkpoint directory that ``--model`` names: a registry name, a directory, or a hub id.

    Raises:
        ZooError: it is none of these, or cannot be had.
    """
    if model in registry.models():
        if revision is not None:
            raise ConformanceError("--revision belongs to a hub id; the registry states a model's own.")
        return checkpoints.resolve(registry.get(model), scale)
    if scale != "twin":
        raise ConformanceError(f"--scale belongs to a registry name, and {model!r} is none. 'zoo list' shows them.")
    directory = Path(model)
    if model and directory.is_dir():
        if revision is not None:
            raise ConformanceError(f"--revision belongs to a hub id, and {model!r} is a directory.")
        return checkpoints.check_directory(directory)
    if model.count("/") == 1 and not model.startswith((".", "/", "~")):
        return checkpoints.download(model, revision)
    raise unknown("model", model, registry.models(), hint="A checkpoint directory or a hub id works, too.")


def copy_tokenizer(source: Path, target: Path) -> None:
    """Put the tokenizer and the configuration beside the program, so that the directory is all one needs to run it."""
    for name in TOKENIZER_FILES:
        if (source / name).is_file() and source.resolve() != target.resolve():
            shutil.copyfile(source / name, target / name)


def check(artifact: Artifact, source: Path, *, trained: bool = True) -> Check:
    """Compare a program with its checkpoint in eager PyTorch, teacher-forced over tokens of its own choosing.

    A program that rounds is compared with the same model rounding the same. Where the checkpoint is a twin its reference texts
    are fed, otherwise what eager PyTorch says after the first token. ``trained`` is false for random weights.
    """
    import json

    import torch

    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from conformance.generate import generate
    from conformance.sessions.eager import baseline
    from conformance.sessions.executorch import ExecuTorchSession

    task = artifact.account.task
    eager = baseline(source, artifact.config, artifact.account.max_seq_len, task=task)
    reference = source / "reference.json"
    limit = min(CHECK_TOKENS, artifact.account.max_seq_len)
    if task == "feature-extraction":
        tokens, skip, trained = [(7 * index) % eager.model.config.vocab_size for index in range(limit)], 0, False
    elif reference.is_file():
        sample = json.loads(reference.read_text(encoding="utf-8"))["samples"][0]
        tokens, skip = sample["tokens"][:limit], min(sample["prompt_length"], limit - 1)
    else:
        first = eager.model.generation_config.bos_token_id or 0
        said = generate(eager, [first], max_new_tokens=limit - 1)
        tokens, skip = [*said.prompt, *said.tokens][:limit], 0
    fed = torch.tensor([tokens])
    eager.reset()
    expected = eager.forward(fed, 0)[skip:]
    session = ExecuTorchSession(artifact.program, expected=artifact.account.file)
    found = torch.cat([session.forward(fed[:, :1], 0), session.forward(fed[:, 1:], 1)])[skip:]
    comparison = compare_logits(expected, found)
    return judge_logits(comparison, tolerance(artifact.config), trained=trained)


@dataclass(frozen=True)
class Said:
    """What a program said, and how fast."""

    prompt_tokens: int
    tokens: int
    stop: str
    load_seconds: float
    first_token_seconds: float
    tokens_per_second: float


def generate_text(
    where: Path,
    prompt: str,
    *,
    tokenizer: Path | None,
    max_new_tokens: int,
    threads: int,
    on_text: Callable[[str], None],
) -> Said:
    """Continue a prompt greedily and hand out the text as it comes, whole characters only.

    Raises:
        SessionError: the program is missing or damaged, or the prompt does not fit.
        ConformanceError: there is no tokenizer.
    """
    program = where / "model.pte" if where.is_dir() else where
    if not program.is_file():
        raise SessionError(f"{program} does not exist. 'zoo export' makes a .pte.")
    place = tokenizer or program.parent
    if not (place / "tokenizer.json").is_file():
        raise ConformanceError(f"{place} has no tokenizer.json; give the checkpoint's directory with --tokenizer.")
    from transformers import AutoTokenizer

    from conformance.generate import generate
    from conformance.sessions.executorch import ExecuTorchSession

    try:
        prompt.encode()
        coder: Any = AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except UnicodeEncodeError as error:
        raise ConformanceError(f"the prompt is no valid text: {error.reason} at character {error.start}.") from error
    except Exception as error:
        raise ConformanceError(f"cannot read the tokenizer in {place}: {type(error).__name__}: {error}") from error
    session = ExecuTorchSession(program, threads=threads)
    loaded = time.perf_counter()
    ids = coder(prompt)["input_ids"]
    eos = session.constant("get_eos_ids", [])
    chosen: list[int] = []
    shown = ""
    times: list[float] = []

    def on_token(token: int) -> None:
        nonlocal shown
        times.append(time.perf_counter())
        chosen.append(token)
        text = coder.decode(chosen, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            on_text(text[len(shown) :])
            shown = text

    said = generate(session, ids, max_new_tokens=max_new_tokens, eos_ids=eos, on_token=on_token)
    on_text(coder.decode(chosen, skip_special_tokens=True)[len(shown) :])
    decoding = times[-1] - times[0]
    return Said(
        prompt_tokens=len(ids),
        tokens=len(said.tokens),
        stop=said.stop,
        load_seconds=session.load_seconds,
        first_token_seconds=times[0] - loaded,
        tokens_per_second=(len(times) - 1) / decoding if len(times) > 1 and decoding > 0 else 0.0,
    )
