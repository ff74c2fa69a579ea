"""What ``zoo export`` does around the exporter: find the checkpoint, bring along what the program needs, check the program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from conformance.errors import ConformanceError
from conformance.record import Check
from exporters.artifact import Artifact
from zoo import checkpoints, registry
from zoo.errors import unknown

if TYPE_CHECKING:
    from torch import Tensor

COMPANIONS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "tokenizer.model",
    "chat_template.jinja",
    "preprocessor_config.json",
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


def copy_companions(source: Path, target: Path) -> None:
    """Put the tokenizer or the image processor and the configuration beside the program, so that the directory is all one needs
    to run it."""
    for name in COMPANIONS:
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
    if artifact.account.wrapper != "CausalLMExportableModule":
        return _check_one_pass(artifact, source)
    assert artifact.account.max_seq_len is not None
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


def _check_one_pass(artifact: Artifact, source: Path) -> Check:
    """As ``check``, of a model of one pass: over ids that do not repeat soon, or noise. Best answers mean nothing there."""
    from conformance.compare.boxes import align
    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from conformance.sessions.eager import EagerInference, rounded_model
    from conformance.sessions.executorch import ExecuTorchInference

    task = artifact.account.task
    model = rounded_model(source, artifact.config, task=task)
    inputs = _noise(artifact, model.config)
    expected = EagerInference(model).infer(inputs)
    found = ExecuTorchInference(artifact.program, expected=artifact.account.file).infer(inputs)
    if task == "object-detection":
        found = align(expected, found)  # the order of queries means nothing
    return judge_logits(compare_logits(expected, found), tolerance(artifact.config), trained=False)


def _noise(artifact: Artifact, configuration: object) -> dict[str, Tensor]:
    import torch

    if artifact.account.max_seq_len is not None:
        vocabulary = getattr(configuration, "vocab_size", 2)
        ids = torch.tensor([[(7 * index) % vocabulary for index in range(min(CHECK_TOKENS, artifact.account.max_seq_len))]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    constants = artifact.account.constant_methods
    shape = constants["get_num_channels"], constants["get_image_height"], constants["get_image_width"]
    return {"pixel_values": torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))}
