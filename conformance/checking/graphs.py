"""What ``zoo export --format pt2`` and ``onnx`` wrote, against eager PyTorch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from conformance.compare.boxes import align
from conformance.compare.logits import compare_logits, judge_logits
from conformance.compare.tolerance import tolerance
from conformance.generate import generate
from conformance.record import Check
from conformance.sessions import graphs as sessions
from conformance.sessions.eager import baseline, baseline_inference

if TYPE_CHECKING:
    from exporters.graphs import Graphs

TOKENS = 32
"""Tokens that are compared at most."""


def check(made: Graphs, source: Path, *, trained: bool = True) -> Check:
    """Compare the graph of a decoder or of a model of one pass with its checkpoint.

    Where the checkpoint is a twin its reference texts are fed, otherwise what eager PyTorch says after the first token.
    ``trained`` is false for random weights.
    """
    if made.account.wrapper != "CausalLMExportableModule":
        return _one_pass(made, source)
    account = made.account
    assert account.max_seq_len is not None
    eager = baseline(source, made.config, account.max_seq_len, task=account.task)
    reference = source / "reference.json"
    limit = min(TOKENS, account.max_seq_len)
    if account.task == "feature-extraction":
        vocabulary = account.constant_methods["get_vocab_size"]
        tokens, skip, trained = [(7 * index) % vocabulary for index in range(limit)], 0, False
    elif reference.is_file():
        sample = json.loads(reference.read_text(encoding="utf-8"))["samples"][0]
        tokens, skip = sample["tokens"][:limit], min(sample["prompt_length"], limit - 1)
    else:
        said = generate(eager, [account.constant_methods.get("get_bos_id", 0)], max_new_tokens=limit - 1)
        tokens, skip = [*said.prompt, *said.tokens][:limit], 0
    fed = torch.tensor([tokens])
    eager.reset()
    expected = eager.forward(fed, 0)[skip:]
    session = sessions.OnnxDecoder(made) if account.format == "onnx" else sessions.TorchDecoder(made)
    found = torch.cat([session.forward(fed[:, :1], 0), session.forward(fed[:, 1:], 1)])[skip:]
    return judge_logits(compare_logits(expected, found), tolerance(made.config), trained=trained)


def _one_pass(made: Graphs, source: Path) -> Check:
    """Over ids that do not repeat soon, or noise. Best answers mean nothing there."""
    task = made.account.task
    inputs = _sound(made, source) if "get_sampling_rate" in made.account.constant_methods else _noise(made)
    expected = baseline_inference(source, made.config, task=task).infer(inputs)
    found = sessions.GraphInference(made).infer(inputs)
    if task == "object-detection":
        found = align(expected, found)  # the order of queries means nothing
    return judge_logits(compare_logits(expected, found), tolerance(made.config), trained=False)


def _sound(made: Graphs, source: Path) -> dict[str, Tensor]:
    """A reference sound as the checkpoint's feature extractor makes it, cut to what the program takes."""
    from transformers import AutoFeatureExtractor

    from zoo.twins import sounds
    from zoo.twins.speech import features

    constants = made.account.constant_methods
    extractor = AutoFeatureExtractor.from_pretrained(source, local_files_only=True, trust_remote_code=False)
    heard = features(extractor, sounds.draw("rising chirp"))
    if constants["enable_dynamic_source"]:
        heard = {name: value[:, : constants["get_max_source_len"]].contiguous() for name, value in heard.items()}
    return heard


def _noise(made: Graphs) -> dict[str, Tensor]:
    constants = made.account.constant_methods
    if made.account.max_seq_len is not None:
        length = min(TOKENS, made.account.max_seq_len)
        ids = torch.tensor([[(7 * index) % constants["get_vocab_size"] for index in range(length)]])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    shape = constants["get_num_channels"], constants["get_image_height"], constants["get_image_width"]
    return {"pixel_values": torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))}
