"""What ``zoo export`` does around the exporter: find the checkpoint, bring along what the program needs, check the program."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    "vocab.json",
    "added_tokens.json",
    "source.spm",
    "target.spm",
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
    if artifact.account.wrapper == "Seq2SeqLMExportableModule":
        return _check_seq2seq(artifact, source, trained=trained)
    if artifact.account.wrapper == "MultiModalTextToTextExportableModule":
        return _check_multimodal(artifact, source, trained=trained)
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


def _check_multimodal(artifact: Artifact, source: Path, *, trained: bool) -> Check:
    """As ``check``, of a model that also looks or listens: what eager PyTorch says about an image or a sound that was drawn for
    this, in two calls."""
    import torch
    from transformers import AutoTokenizer

    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from conformance.generate import generate
    from conformance.sessions.eager import rounded_model
    from conformance.sessions.multimodal import EagerMultimodalSession, MultimodalSession
    from zoo.placeholders import IMAGE, placeholder
    from zoo.twins import images, sounds
    from zoo.twins.media import load_processor, prepare
    from zoo.twins.multimodal import question

    constants = artifact.account.constant_methods
    length = artifact.account.max_seq_len or 0
    model = rounded_model(source, artifact.config, task=artifact.account.task)
    eager = EagerMultimodalSession(model, length, artifact.config)
    session = MultimodalSession(artifact.program, expected=artifact.account.file)
    known = placeholder(artifact.account.model_type)
    looks = known.marker == IMAGE
    item = images.draw("red circle", constants["get_image_height"]) if looks else sounds.draw("high tone")
    inputs = prepare(load_processor(source), item)
    counts = session.condition(inputs)
    eager.condition(inputs)
    coder = AutoTokenizer.from_pretrained(source, trust_remote_code=False, local_files_only=True)
    text = known.expand(f"{known.marker} What is this?", counts)
    prompt = coder(question(coder, text) if coder.chat_template else text)["input_ids"]
    said = generate(eager, prompt, max_new_tokens=max(1, min(CHECK_TOKENS, length) - len(prompt)))
    fed = torch.tensor([[*said.prompt, *said.tokens]])[:, :length]
    eager.reset()
    expected = eager.forward(fed, 0)[len(prompt) - 1 :]
    session.reset()
    found = torch.cat([session.forward(fed[:, : len(prompt)], 0)[-1:], session.forward(fed[:, len(prompt) :], len(prompt))])
    return judge_logits(compare_logits(expected, found), tolerance(artifact.config), trained=trained)


def _check_one_pass(artifact: Artifact, source: Path) -> Check:
    """As ``check``, of a model of one pass: over ids that do not repeat soon, or noise. Best answers mean nothing there."""
    from conformance.compare.boxes import align
    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from conformance.sessions.eager import EagerInference, rounded_model
    from conformance.sessions.executorch import ExecuTorchInference

    task = artifact.account.task
    model = rounded_model(source, artifact.config, task=task)
    heard = "get_sampling_rate" in artifact.account.constant_methods
    longest = artifact.account.constant_methods.get("get_max_source_len", 0)
    inputs = _sound(artifact, source, longest) if heard else _noise(artifact, model.config)
    expected = EagerInference(model).infer(inputs)
    found = ExecuTorchInference(artifact.program, expected=artifact.account.file).infer(inputs)
    if task == "object-detection":
        found = align(expected, found)  # the order of queries means nothing
    return judge_logits(compare_logits(expected, found), tolerance(artifact.config), trained=False)


def _check_seq2seq(artifact: Artifact, source: Path, *, trained: bool) -> Check:
    """As ``check``, of an encoder and its decoder: what eager PyTorch writes about a text of ids that do not repeat soon, or
    about a reference sound."""
    import torch

    from conformance.compare.logits import compare_logits, judge_logits
    from conformance.compare.tolerance import tolerance
    from conformance.generate import generate
    from conformance.sessions.eager import rounded_model
    from conformance.sessions.seq2seq import ExecuTorchSeq2Seq, eager_seq2seq
    from exporters.wrappers.seq2seq_lm import decoder_prompt

    account = artifact.account
    assert account.max_seq_len is not None
    model = rounded_model(source, artifact.config, task=account.task)
    session = ExecuTorchSeq2Seq(artifact.program, expected=account.file)
    inputs = _sound(artifact, source, session.max_source_len) if session.listens else _ids(model, session.max_source_len)
    eager = eager_seq2seq(model, account.max_seq_len, artifact.config)
    eager.condition(inputs)
    prompt = decoder_prompt(model)
    limit = min(CHECK_TOKENS, account.max_seq_len)
    said = generate(eager, prompt, max_new_tokens=limit - len(prompt))
    fed = torch.tensor([[*said.prompt, *said.tokens][:limit]])
    eager.reset()
    expected = eager.forward(fed, 0)
    session.condition(inputs)
    found = torch.cat([session.forward(fed[:, :1], 0), session.forward(fed[:, 1:], 1)])
    return judge_logits(compare_logits(expected, found), tolerance(artifact.config), trained=trained)


def _ids(model: Any, longest: int) -> dict[str, Tensor]:
    import torch

    ids = torch.tensor([[(7 * index) % model.config.vocab_size for index in range(min(CHECK_TOKENS, longest))]])
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _sound(artifact: Artifact, source: Path, longest: int) -> dict[str, Tensor]:
    """A reference sound as the checkpoint's feature extractor makes it, cut to what the program takes."""
    from transformers import AutoFeatureExtractor

    from zoo.twins import sounds
    from zoo.twins.speech import features

    extractor = AutoFeatureExtractor.from_pretrained(source, trust_remote_code=False, local_files_only=True)
    made = features(extractor, sounds.draw("rising chirp"))
    if artifact.account.constant_methods["enable_dynamic_source"]:
        made = {name: value[:, :longest].contiguous() for name, value in made.items()}
    return made


def _noise(artifact: Artifact, configuration: object) -> dict[str, Tensor]:
    import torch

    if artifact.account.max_seq_len is not None:
        vocabulary = getattr(configuration, "vocab_size", 2)
        ids = torch.tensor([[(7 * index) % vocabulary for index in range(min(CHECK_TOKENS, artifact.account.max_seq_len))]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    constants = artifact.account.constant_methods
    shape = constants["get_num_channels"], constants["get_image_height"], constants["get_image_width"]
    return {"pixel_values": torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))}
