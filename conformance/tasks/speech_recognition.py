"""The task ``automatic-speech-recognition`` with an encoder and a decoder: sounds are transcribed, and the logits and the
tokens of the transcripts must be eager PyTorch's, however long a sound is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conformance.compare.contract import Signature
from conformance.compare.source import Probe, check_source
from conformance.compare.tolerance import Tolerance
from conformance.record import Check
from conformance.sessions.protocol import GenerationSession
from conformance.sessions.seq2seq import EagerSeq2Seq, ExecuTorchSeq2Seq, eager_seq2seq
from conformance.tasks import text_generation
from conformance.tasks.decoder import Reference, Task
from conformance.tasks.text2text_generation import learned, proves_nothing, seq2seq_signature, written
from conformance.trail import CellRequest
from exporters.artifact import Artifact
from zoo.model import Model
from zoo.twins import sounds
from zoo.twins.speech import features

FLOAT = 6


def extractor_of(checkpoint: Path) -> Any:
    """The checkpoint's feature extractor."""
    from transformers import AutoFeatureExtractor

    return AutoFeatureExtractor.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)


def told_of(checkpoint: Path, eager: Any) -> dict[str, Any]:
    """What a twin was made for, as its ``reference.json`` tells: ``max_source_len``, samples or frames of its longest sound,
    and its ``samples``; at other scales those of ``sounds.MAX_SECONDS``, and none."""
    path = checkpoint / "reference.json"
    if path.is_file():
        told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return told
    extractor = extractor_of(checkpoint)
    silence = np.zeros(sounds.MAX_SECONDS * extractor.sampling_rate, dtype=np.float32)
    sound = features(extractor, silence)[eager.main_input_name]
    return {"max_source_len": int(sound.shape[_axis(eager)]), "samples": []}


def _axis(eager: Any) -> int:
    """The axis along which a sound of a model is long."""
    return 2 if hasattr(eager.config, "num_mel_bins") else 1


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any, max_seq_len: int) -> Reference:
    extractor = extractor_of(checkpoint)
    conditions = tuple(features(extractor, sounds.draw(prompt.text)) for prompt in model.reference_prompts)
    told = told_of(checkpoint, eager)
    if told["samples"]:
        return learned(told, conditions, max_seq_len)
    return written(EagerSeq2Seq(eager, max_seq_len), conditions, told["max_source_len"], eager)


def _signature(model: Model, eager: Any, artifact: Artifact, reference: Reference) -> Signature:
    configuration, longest = eager.config, artifact.config.max_source_len
    assert longest is not None
    shape: tuple[int, ...]
    features_of_frame: dict[str, int] = {}
    if eager.main_input_name == "input_values":
        shape, shortest, dynamic = (1, longest), _shortest(eager), True
    elif _axis(eager) == 2:
        shape, shortest, dynamic = (1, configuration.num_mel_bins, longest), longest, False
        features_of_frame = {"get_feature_size": configuration.num_mel_bins}
    else:
        width = configuration.input_feat_per_channel * configuration.input_channels
        shape, shortest, dynamic = (1, longest, width), _shortest(eager), True
        features_of_frame = {"get_feature_size": width}
    with torch.no_grad():
        states = eager.get_encoder()(torch.zeros(shape)).last_hidden_state.shape[1]
    made: Signature = seq2seq_signature(
        ((shape, FLOAT),),
        states,
        {
            "get_max_source_len": longest,
            "get_min_source_len": shortest,
            "enable_dynamic_source": dynamic,
            "get_sampling_rate": sounds.SAMPLING_RATE,
            **features_of_frame,
        },
    )(model, eager, artifact)
    return made


def _shortest(eager: Any) -> int:
    """Samples or frames from which on the convolutions of an encoder answer two states: what the first two of them see."""
    field = 2
    layers = [module for module in eager.get_encoder().modules() if isinstance(module, torch.nn.Conv1d)]
    for layer in reversed(layers):
        field = (field - 1) * layer.stride[0] + layer.kernel_size[0] - 2 * int(layer.padding[0])
    return field


def _further(
    session: GenerationSession, baseline: GenerationSession, reference: Reference, tolerance: Tolerance, checkpoint: Path
) -> Mapping[str, Check]:
    assert isinstance(session, ExecuTorchSeq2Seq)
    ((name, first),) = reference.conditions[0].items()
    axis = 2 if not session.constant("enable_dynamic_source") else 1
    endless = torch.cat([next(iter(source.values())) for source in reference.conditions], dim=axis)
    endless = torch.cat([endless] * (2 + session.max_source_len // endless.shape[axis]), dim=axis)

    def sound(length: int) -> dict[str, torch.Tensor]:
        return {name: endless.narrow(axis, 0, length).contiguous()}

    shortest, longest = session.min_source_len, session.max_source_len
    probes = [Probe("a sound", {name: first}), Probe("another sound", reference.conditions[-1])]
    probes += [Probe("the longest sound", sound(longest)), Probe("silence", {name: torch.zeros_like(sound(longest)[name])})]
    refused = [sound(longest + 1)]
    if shortest < longest:
        lengths = (shortest, shortest + 1, 2 * shortest, (shortest + longest) // 2, longest - 1)
        probes += [Probe(f"a sound of length {length}", sound(length)) for length in lengths]
    if shortest > 1:
        refused.append(sound(shortest - 1))
    return {"source": check_source(session, baseline, probes, refused, reference.other, tolerance)}


TASK = Task(
    reference=_reference,
    answers=text_generation.continue_prompts,
    vacuous=proves_nothing,
    judge=text_generation.judge,
    session=ExecuTorchSeq2Seq,
    eager=eager_seq2seq,
    signature=_signature,
    further=_further,
)
