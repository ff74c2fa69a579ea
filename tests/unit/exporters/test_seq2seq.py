"""Encoders with decoders, and models that listen: what the cells of the matrix do not cover."""

import shutil

import pytest
import torch

from conformance.sessions.protocol import SessionError
from conformance.sessions.seq2seq import ExecuTorchSeq2Seq
from exporters import ExportConfig, ExportError
from exporters.errors import NotApplicableError
from exporters.pipeline import export, load_model
from exporters.quantize import quantize
from exporters.wrappers import wrap
from exporters.wrappers.seq2seq_lm import decoder_prompt
from zoo.checkpoints import resolve
from zoo.models.bart import BART_BASE
from zoo.models.moonshine import MOONSHINE_TINY
from zoo.models.t5 import T5_SMALL
from zoo.models.wav2vec2 import WAV2VEC2_BASE
from zoo.models.whisper import WHISPER_TINY


def load(row):
    return load_model(resolve(row), task=row.task)


def wrapped(row, **options):
    return wrap(load(row), row.task, ExportConfig(**options))


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    place = tmp_path_factory.mktemp("whisper")
    config = ExportConfig(recipe="portable", max_seq_len=16)
    return export(resolve(WHISPER_TINY), config, place, task=WHISPER_TINY.task)


def test_an_encoder_does_not_write_over_the_cache_of_its_decoder(whisper):
    session = ExecuTorchSeq2Seq(whisper.program)
    sound = torch.randn(1, 80, 200, generator=torch.Generator().manual_seed(0))
    session.condition({"input_features": sound})
    tokens = torch.tensor([[2, 9, 8, 7]])
    whole = session.forward(tokens, 0)
    session.reset()
    session.forward(tokens[:, :3], 0)
    session.run("encoder", 100 * sound)
    torch.testing.assert_close(session.forward(tokens[:, 3:], 3), whole[3:], atol=1e-4, rtol=0)


def test_a_decoder_that_was_told_nothing_refuses(whisper):
    with pytest.raises(SessionError, match="condition the session first"):
        ExecuTorchSeq2Seq(whisper.program).forward(torch.tensor([[2]]), 0)


@pytest.mark.parametrize(
    ("sound", "told"),
    [
        (torch.zeros(1, 80, 199), "199 frames, and model.pte takes 200"),
        (torch.zeros(1, 80, 201), "201 frames, and model.pte takes 200"),
        (torch.zeros(1, 79, 200), r"takes \[1, 80, n\]"),
        (torch.zeros(80, 200), r"takes \[1, 80, n\]"),
        (torch.zeros(1, 80, 200, dtype=torch.long), "give numbers with a fraction"),
    ],
)
def test_a_sound_of_another_form_is_refused(whisper, sound, told):
    with pytest.raises(SessionError, match=told):
        ExecuTorchSeq2Seq(whisper.program).condition({"input_features": sound})


def test_a_checkpoint_that_does_not_say_how_it_listens_is_refused(tmp_path):
    place = shutil.copytree(resolve(WHISPER_TINY), tmp_path / "deaf")
    (place / "preprocessor_config.json").unlink()
    with pytest.raises(ExportError, match="does not say with which sampling_rate"):
        wrap(load_model(place, task=WHISPER_TINY.task), WHISPER_TINY.task, ExportConfig())


@pytest.mark.parametrize(
    ("row", "options", "told"),
    [
        (BART_BASE, {"max_seq_len": 257}, "exceeds the decoder's context of 256"),
        (BART_BASE, {"max_source_len": 257}, "exceeds the 256 tokens"),
        (WHISPER_TINY, {"max_source_len": 100}, "reads 200 frames, no more and no fewer"),
        (MOONSHINE_TINY, {"max_source_len": 500}, "makes nothing of so few samples"),
    ],
    ids=("context", "source", "whisper", "moonshine"),
)
def test_a_length_that_the_model_has_no_positions_for_is_refused(row, options, told):
    with pytest.raises(ExportError, match=told):
        wrapped(row, **options)


def test_what_only_decoders_have_is_refused_of_a_model_with_ctc():
    for options in ({"use_custom_kv_cache": True}, {"use_custom_sdpa": True}):
        with pytest.raises(NotApplicableError, match="keeps no KV cache"):
            wrapped(WAV2VEC2_BASE, **options)
    with pytest.raises(NotApplicableError, match="no embedding of tokens"):
        wrapped(WAV2VEC2_BASE, qembedding="8w")


def test_tables_that_nothing_is_looked_up_in_are_left_alone_by_name():
    config = ExportConfig(qembedding="8w", qembedding_encoder="4w", max_seq_len=64)
    report = quantize(load(T5_SMALL), config)
    assert {(layer.name, layer.weight_bits) for layer in report.layers} == {
        ("encoder.embed_tokens", 4),
        ("decoder.embed_tokens", 8),
    }
    kept = {layer.name: layer.reason for layer in report.skipped}
    assert "never called" in kept["shared"]
    assert sum("attention scores" in reason for reason in kept.values()) == 2


def test_positions_that_whisper_reads_by_index_are_left_alone():
    report = quantize(load(WHISPER_TINY), ExportConfig(qembedding="8w", max_seq_len=64))
    assert [layer.name for layer in report.layers] == ["model.decoder.embed_tokens"]
    assert "reads its weight" in {layer.name: layer.reason for layer in report.skipped}["model.decoder.embed_positions"]


def test_a_multilingual_whisper_is_told_language_and_task():
    network = load(WHISPER_TINY)
    assert decoder_prompt(network) == [network.config.decoder_start_token_id]
    network.generation_config.lang_to_id = {"<|en|>": 50259}
    network.generation_config.task_to_id = {"transcribe": 50359}
    network.generation_config.no_timestamps_token_id = 50363
    assert decoder_prompt(network)[1:] == [50259, 50359, 50363]
