"""Exported programs under the state machine: 200 random walks over each kind of cache."""

import functools

import pytest
import torch

from conformance import cache_machine
from conformance.artifacts import cached_export
from conformance.cache_machine import Subject, WrongLogitsError, drive
from conformance.compare.tolerance import EXACT, Tolerance, tolerance
from conformance.sessions.eager import baseline
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import SessionError
from exporters import ExportConfig
from zoo import registry
from zoo.checkpoints import resolve

EXAMPLES = 200
KINDS = {
    "full, plain": ("smollm2-135m", "xnnpack-fp32", {"static"}),
    "full": ("smollm2-135m", "xnnpack-fp32-sdpa-kv", {"custom"}),
    "ring": ("gemma3-270m", "xnnpack-fp32-sdpa-kv", {"ring", "custom"}),
    "int8": ("smollm2-135m", "xnnpack-fp32-sdpa-kv8", {"custom"}),
    "sink": ("smollm2-135m", "xnnpack-fp32-sdpa-kv-sink4w28", {"sink"}),
    "local": ("smollm2-135m", "xnnpack-fp32-sdpa-kv-lg16.0", {"ring", "custom"}),
    "int8 ring and sink": ("gemma3-270m", "xnnpack-fp32-sdpa-kv8-sink4w28", {"ring", "sink"}),
    "convolution": ("lfm2-350m", "xnnpack-fp32-sdpa-kv", {"state", "custom"}),
    "recurrence": ("mamba-130m", "xnnpack-fp32-static", {"state"}),
}


def fail(session):
    """Give the runtime one token more than the graph takes; the session would not let it through."""
    count = session.max_seq_len + 1
    with pytest.raises(SessionError, match="failed"):
        session.run("forward", torch.zeros(1, count).long(), torch.arange(count))


@pytest.mark.parametrize("kind", KINDS)
def test_a_program_answers_any_calls_as_eager_pytorch_does(kind):
    model, configuration, caches = KINDS[kind]
    torch.set_num_threads(1)
    row = registry.get(model)
    config = ExportConfig.from_id(configuration, max_seq_len=row.twin.max_seq_len)
    checkpoint = resolve(row)
    artifact = cached_export(checkpoint, config, task=row.task)[0]
    assert {layer["kind"] for layer in artifact.account.cache} == caches
    session = ExecuTorchSession(artifact.program, expected=artifact.account.file)
    drive(
        Subject(
            program=session,
            eager=baseline(checkpoint, config, config.max_seq_len),
            vocabulary=session.constant("get_vocab_size"),
            tolerance=tolerance(config),
            rewinds=session.constant("supports_rewind"),
            fail=functools.partial(fail, session),
        ),
        examples=EXAMPLES,
    )


def subject(program, eager, *, rewinds=True):
    return Subject(program, eager, vocabulary=8, tolerance=EXACT, rewinds=rewinds, fail=lambda: None)


def test_a_sound_session_passes(fake_session):
    drive(subject(fake_session(16), fake_session(16)), examples=50)


def test_a_session_that_rewinds_wrongly_is_found_and_the_script_is_short(fake_session):
    class Lazy(fake_session):
        def forward(self, tokens, position):
            fed = len(self.states) - 1
            return super().forward(tokens, position + 1 if 0 < position < fed else position)[: tokens.shape[1]]

    with pytest.raises(WrongLogitsError) as caught:
        drive(subject(Lazy(16), fake_session(16)), examples=200)
    script = "\n".join(caught.value.__notes__)
    assert "state.rewind(" in script
    assert script.count("state.") <= 6


def test_a_session_that_takes_one_token_too_many_is_found(fake_session):
    greedy = fake_session(16)
    greedy.capacity = 17
    with pytest.raises(WrongLogitsError, match="17 tokens at position 0 were accepted"):
        drive(subject(greedy, fake_session(16)), examples=100)


def test_a_session_that_goes_back_where_it_said_it_could_not_is_found(fake_session):
    with pytest.raises(WrongLogitsError, match="were accepted"):
        drive(subject(fake_session(16), fake_session(16), rewinds=False), examples=100)


@pytest.mark.parametrize(
    ("limits", "factor", "good"),
    [(EXACT, 1 + 1e-5, True), (EXACT, 1.01, False), (Tolerance(0.05, 0.01), 1.04, True), (Tolerance(0.05, 0.01), 1.06, False)],
)
def test_answers_are_held_against_the_tolerance_of_the_configuration(limits, factor, good):
    expected = torch.ones(3, 8)
    found = expected.clone()
    found[2] *= factor
    if good:
        cache_machine.compare(expected, found, limits, 5)
    else:
        with pytest.raises(WrongLogitsError, match="at position 7"):
            cache_machine.compare(expected, found, limits, 5)


def test_an_answer_that_is_no_number_is_wrong():
    with pytest.raises(WrongLogitsError):
        cache_machine.compare(torch.ones(1, 8), torch.full((1, 8), torch.nan), EXACT, 0)
