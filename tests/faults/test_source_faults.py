"""Defects put into encoders and decoders on purpose: each must be caught by the check that is there for it.

The exportable module is run in eager PyTorch here, so that a defect costs no lowering; the checks are the suite's own.
"""

from types import SimpleNamespace

import pytest
import torch

from conformance.compare.logits import compare_logits, judge_logits
from conformance.compare.source import Probe, check_source
from conformance.compare.tolerance import EXACT
from conformance.sessions.module import Seq2SeqModuleSession
from conformance.sessions.seq2seq import EagerSeq2Seq
from conformance.tasks.decoder import Answers
from conformance.tasks.text2text_generation import TASK, proves_nothing, text_source
from exporters import ExportConfig
from exporters.pipeline import load_model, register_operators
from exporters.wrappers import wrap
from exporters.wrappers.seq2seq_lm import Encoder, TextDecoder
from zoo.checkpoints import resolve
from zoo.models.bart import BART_BASE
from zoo.models.t5 import T5_SMALL

TEXT2TEXT = "text2text-generation"
SHORT, LONG = text_source(list(range(5, 12))), text_source(list(range(20, 60)))
PADDED = text_source(list(range(5, 12)), padding=6, pad=30)
TOO_LONG = text_source([5] * 49)


@pytest.fixture(scope="module", params=(T5_SMALL, BART_BASE), ids=("t5", "bart"))
def checkpoint(request):
    register_operators()
    return resolve(request.param)


@pytest.fixture
def module(checkpoint):
    return wrap(load_model(checkpoint, task=TEXT2TEXT), TEXT2TEXT, ExportConfig(max_seq_len=64, max_source_len=48))


@pytest.fixture
def eager(checkpoint):
    return EagerSeq2Seq(load_model(checkpoint, task=TEXT2TEXT), 64)


def source(session, eager):
    probes = (Probe("short", SHORT), Probe("long", LONG), Probe("padded", PADDED))
    return check_source(session, eager, probes, (TOO_LONG,), torch.tensor([[0, 7, 8, 9]]), EXACT)


def logits(session, eager):
    answers = []
    for each in (eager, session):
        each.condition(SHORT)
        answers.append(each.forward(torch.tensor([[0, 7, 8, 9]]), 0))
    return judge_logits(compare_logits(*answers), EXACT)


def test_without_a_defect_all_is_well(module, eager):
    session = Seq2SeqModuleSession(module)
    assert logits(session, eager).status == "pass"
    assert source(session, eager).status == "pass"


def test_a_padding_mask_that_the_decoder_ignores_is_found(module, eager, monkeypatch):
    sound = TextDecoder.forward
    monkeypatch.setattr(
        TextDecoder,
        "forward",
        lambda self, tokens, positions, states, mask: sound(self, tokens, positions, states, torch.ones_like(mask)),
    )
    session = Seq2SeqModuleSession(module)
    assert logits(session, eager).status == "pass"
    found = source(session, eager)
    assert found.status == "fail"
    assert found.message.startswith("padded: error")


def test_a_padding_mask_that_the_encoder_ignores_is_found(module, eager, monkeypatch):
    sound = Encoder.forward
    monkeypatch.setattr(Encoder, "forward", lambda self, tokens, mask: sound(self, tokens, torch.ones_like(mask)))
    found = source(Seq2SeqModuleSession(module), eager)
    assert found.status == "fail"
    assert "padded: error" in found.message


def test_what_an_earlier_source_left_is_found(module, eager):
    class Stale(Seq2SeqModuleSession):
        def condition(self, inputs):
            before = self._read
            super().condition(inputs)
            self._read = before or self._read

    found = source(Stale(module), eager)
    assert found.status == "fail"
    assert "long: error" in found.message


def test_states_that_are_not_forgotten_are_found(module, eager):
    class Leaking(Seq2SeqModuleSession):
        """Mixes the last source into the next."""

        def condition(self, inputs):
            before = self._read
            super().condition(inputs)
            if before:
                self._read = (self._read[0] + 0.1 * before[0].mean(), *self._read[1:])

    assert "short after long is answered otherwise than before" in source(Leaking(module), eager).message


def test_a_source_that_is_too_long_and_taken_is_found(module, eager):
    class Greedy(Seq2SeqModuleSession):
        def condition(self, inputs):
            super().condition({name: value[:, :48] for name, value in inputs.items()})

    assert "a source of the shape (1, 49), (1, 49) was accepted" in source(Greedy(module), eager).message


def test_a_decoder_that_does_not_read_proves_nothing():
    rows = torch.arange(12.0).reshape(3, 4)
    alike = Answers(generations=(), logits=(rows, rows + torch.tensor([[0.0], [1], [2]])), whole=rows, other=rows)
    assert proves_nothing(alike) == "the baseline's answer does not depend on its source"


def test_a_wrong_token_to_begin_with_is_found(module, eager):
    artifact = SimpleNamespace(account=SimpleNamespace(max_seq_len=64), config=ExportConfig(max_seq_len=64, max_source_len=48))
    wanted = TASK.signature(T5_SMALL, eager.model, artifact, None).constants
    known = module.constant_methods()
    assert known["get_decoder_start_token_id"] == wanted["get_decoder_start_token_id"]
    module.prompt = [7]
    assert module.constant_methods()["get_decoder_start_token_id"] != wanted["get_decoder_start_token_id"]


def test_a_scale_of_t5_or_a_bias_of_bart_that_is_dropped_is_found(eager, module):
    if not hasattr(module.model.config, "scale_decoder_outputs"):
        module.model.final_logits_bias.zero_()
    else:
        module.model.config.scale_decoder_outputs = False
    assert logits(Seq2SeqModuleSession(module), eager).status == "fail"
