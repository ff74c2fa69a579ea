"""Defects between an encoder of images and its decoder, seeded into sessions of sound programs: each is found by a check."""

import json

import pytest
import torch

from conformance.artifacts import cached_export
from conformance.compare.cache_state import Known, check_cache_state
from conformance.compare.tolerance import EXACT
from conformance.sessions.multimodal import EagerMultimodalSession, MultimodalSession
from conformance.tasks.decoder import Reference
from conformance.tasks.multimodal_text_to_text import _check_encoder
from exporters.config import ExportConfig
from exporters.pipeline import load_model
from zoo import registry
from zoo.checkpoints import resolve
from zoo.twins.media import join, load_processor, prepare

CONFIGURATION = "xnnpack-fp32"


class Told:
    """A model's program, its eager session, and its reference."""

    def __init__(self, name):
        from PIL import Image

        model = registry.get(name)
        checkpoint = resolve(model)
        length = model.twin.max_seq_len
        config = ExportConfig.from_id(CONFIGURATION, max_seq_len=length)
        self.artifact = cached_export(checkpoint, config, task=model.task)[0]
        self.eager = EagerMultimodalSession(load_model(checkpoint, task=model.task), length, config)
        samples = json.loads((checkpoint / "reference.json").read_text())["samples"]
        processor = load_processor(checkpoint)
        self.reference = Reference(
            prompts=tuple(tuple(sample["tokens"][: sample["prompt_length"]]) for sample in samples),
            sequences=tuple(tuple(sample["tokens"]) for sample in samples),
            max_seq_len=length,
            new_tokens=length,
            conditions=tuple(
                join([prepare(processor, Image.open(checkpoint / image).convert("RGB")) for image in sample["shown"]])
                for sample in samples
            ),
        )

    def session(self, kind=MultimodalSession):
        return kind(self.artifact.program, expected=self.artifact.account.file)

    def verdicts(self, session):
        """Statuses of ``logits`` (three sequences, two of them about two images) and of ``encoder``."""
        worst = 0.0
        for index in (0, 2, 3):
            tokens = torch.tensor([self.reference.sequences[index]])
            found, expected = (
                (self.reference.about(each, index), each.forward(tokens, 0).clone())[1] for each in (session, self.eager)
            )
            worst = max(worst, float((found - expected).abs().max()))
        encoder = _check_encoder(session, self.eager, self.reference, EXACT).status
        return {"logits": "pass" if worst < 1e-3 else "fail", "encoder": encoder}


@pytest.fixture(scope="module")
def told():
    """A function of a model's name."""
    made = {}
    return lambda name: made.setdefault(name, Told(name))


@pytest.mark.parametrize("name", ["llava-1.5-7b", "gemma3-4b", "qwen2.5-vl-3b"])
def test_a_sound_session_passes(told, name):
    assert set(told(name).verdicts(told(name).session()).values()) == {"pass"}


class Swapped(MultimodalSession):
    """The second image stands where the first should."""

    def condition(self, inputs):
        return super().condition({name: value.flip(0) for name, value in inputs.items()})


class Stale(MultimodalSession):
    """The images of the request before are shown."""

    def condition(self, inputs):
        before = self._features
        counts = super().condition(inputs)
        self._features = before if len(before) == len(self._features) else self._features
        return counts


class Late(MultimodalSession):
    """Every embedding stands one place too far to the right."""

    def condition(self, inputs):
        counts = super().condition(inputs)
        self._features = self._features.roll(1, 0)
        return counts


class Blind(MultimodalSession):
    """Placeholders keep the embedding of their own token."""

    def condition(self, inputs):
        counts = super().condition(inputs)
        self._placeholder = -1
        return counts


class ChannelsSwapped(MultimodalSession):
    """Red is taken for blue."""

    def encode(self, inputs):
        return super().encode({name: value.flip(1) for name, value in inputs.items()})


class Truncated(MultimodalSession):
    """The encoder's last embedding is lost."""

    def encode(self, inputs):
        return torch.cat([super().encode(inputs)[:-1], torch.zeros(1, 64)])


@pytest.mark.parametrize(
    ("defect", "check"),
    [
        (Swapped, "logits"),
        (Stale, "logits"),
        (Late, "logits"),
        (Blind, "logits"),
        (ChannelsSwapped, "encoder"),
        (Truncated, "encoder"),
    ],
)
def test_a_defect_is_found(told, defect, check):
    assert told("llava-1.5-7b").verdicts(told("llava-1.5-7b").session(defect))[check] == "fail"


class Causal(MultimodalSession):
    """The embeddings of an image see only those before them."""

    def _blocks(self, placeholders):
        return torch.full_like(super()._blocks(placeholders), -1)


class InOneRow(MultimodalSession):
    """Rows and columns of an image are taken for positions of a text."""

    def _places(self):
        return torch.arange(len(self._sequence)).repeat(3, 1)


@pytest.mark.parametrize(("name", "defect"), [("gemma3-4b", Causal), ("qwen2.5-vl-3b", InOneRow)])
def test_a_decoder_that_is_told_nothing_of_images_is_found(told, name, defect):
    assert told(name).verdicts(told(name).session(defect))["logits"] == "fail"


def test_a_position_that_is_off_late_in_a_sequence_is_found(told):
    class Slipping(MultimodalSession):
        """From the fortieth token on, positions are one too small."""

        def step(self, tokens, positions):
            return super().step(tokens, positions - 1 if int(positions[0]) > 40 else positions)

    name = "llava-1.5-7b"
    reference = told(name).reference
    sessions = [told(name).session(Slipping), told(name).eager]
    tokens = torch.tensor([reference.sequences[0]])
    reference.about(sessions[1], 0)
    expected = sessions[1].forward(tokens, 0)
    known = Known(tokens, expected, lambda session: reference.about(session, 0))
    verdict = check_cache_state(sessions[0], known, known, window=None, tolerance=EXACT)
    assert verdict.status == "fail"


def test_a_model_that_does_not_look_proves_nothing(told):
    from dataclasses import replace

    from conformance.tasks.decoder import Answers
    from conformance.tasks.multimodal_text_to_text import TASK

    reference = told("llava-1.5-7b").reference
    said, logits = TASK.answers(told("llava-1.5-7b").eager, reference, frozenset(), guess=True)
    looking = Answers(generations=said, logits=logits, whole=logits[0], other=logits[1])
    assert TASK.vacuous(looking) is None
    blind = replace(looking, logits=(logits[0], torch.cat([logits[0][:1], logits[1][1:]]), *logits[2:]))
    assert "does not depend on what is shown" in TASK.vacuous(blind)
