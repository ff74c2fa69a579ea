"""Loaded programs: what they answer, what they refuse; and the blocks of docs/python-api.md, run."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from conformance import load
from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from exporters.errors import ExportError

ROOT = Path(__file__).parents[3]
PROMPT = "Are seals friendly?"


@pytest.fixture(scope="module")
def model(artifact, gemma3_twin):
    with load(artifact, tokenizer=gemma3_twin) as loaded:
        yield loaded


def test_what_is_said_is_the_text_of_its_tokens(model):
    said = model.generate(PROMPT, max_new_tokens=8)
    assert len(said.ids) == 8
    assert said.stop == "length"
    assert said.text == model.tokenizer.decode(said.ids, skip_special_tokens=True)
    assert said.sequences.tolist() == [[*model.tokenizer(PROMPT)["input_ids"], *said.ids]]
    assert (said.statistics.prompt_tokens, said.statistics.tokens) == (len(said.prompt_ids), 8)
    assert said.statistics == model.statistics
    assert 0 < said.statistics.first_token_seconds < said.statistics.seconds


def test_pieces_make_up_the_text_whichever_way_they_come(model):
    class Streamer:
        def __init__(self):
            self.tokens, self.ended = [], False

        def put(self, value):
            self.tokens += value.flatten().tolist()

        def end(self):
            self.ended = True

    streamer, pieces = Streamer(), []
    said = model.generate(PROMPT, max_new_tokens=12, streamer=streamer, on_text=pieces.append)
    assert "".join(pieces) == said.text == "".join(model.stream(PROMPT, max_new_tokens=12))
    assert streamer.tokens == [*said.prompt_ids, *said.ids]
    assert streamer.ended


def test_generation_ends_where_the_cache_does(model):
    said = model.generate(PROMPT, eos_token_id=[])
    assert said.stop == "full"
    assert len(said.prompt_ids) + len(said.ids) == model.max_seq_len + 1


def test_calls_give_the_logits_that_generation_chose_by(model):
    said = model.generate(PROMPT, max_new_tokens=4)
    logits = model(said.sequences).logits
    assert logits.shape[:2] == said.sequences.shape
    assert tuple(logits[0, len(said.prompt_ids) - 1 : -1].argmax(-1).tolist()) == said.ids
    first = model(said.sequences[:, :5]).logits
    rest = model(said.sequences[:, 5:], position=5).logits
    torch.testing.assert_close(torch.cat([first, rest], dim=1), logits, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"do_sample": True}, "do_sample=True: programs are decoded greedily"),
        ({"max_new_token": 3}, "Did you mean 'max_new_tokens'"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
    ],
)
def test_what_greedy_decoding_does_not_do_is_refused_by_name(model, options, told):
    with pytest.raises(ConformanceError, match=re.escape(told)):
        model.generate(PROMPT, **options)


def test_what_is_no_sequence_is_refused(model):
    with pytest.raises(ConformanceError, match="one sequence a call, and 2 are given"):
        model.generate(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ConformanceError, match="leaves tokens out"):
        model([1, 2], attention_mask=[0, 1])
    with pytest.raises(SessionError, match="cache holds 64"):
        model.generate([1] * 65)


def test_a_closed_model_says_so(artifact, gemma3_twin):
    loaded = load(artifact, tokenizer=gemma3_twin)
    loaded.close()
    loaded.close()
    assert loaded.closed
    with pytest.raises(SessionError, match="was closed; load it again"):
        loaded.generate(PROMPT)
    with pytest.raises(SessionError, match="was closed"):
        loaded([1])


def test_a_program_without_its_account_is_told_by_its_methods(program):
    with load(program) as loaded:
        assert loaded.task == "text-generation"
        assert loaded.generate([2, 5, 7], max_new_tokens=3).text == ""  # there is no tokenizer
        with pytest.raises(ConformanceError, match=r"has no tokenizer\.json; give the checkpoint's directory"):
            loaded.generate(PROMPT)


def test_optimums_class_answers_with_what_is_underneath(artifact, gemma3_twin, model):
    from conformance.optimum import ExecuTorchModelForCausalLM, ExecuTorchModelForMaskedLM

    named = ExecuTorchModelForCausalLM.from_pretrained(artifact.directory)
    ids = model.tokenizer(PROMPT)["input_ids"]
    said = model.generate(PROMPT, max_new_tokens=10)
    assert named.generate(ids, max_seq_len=len(ids) + 10) == list(said.ids)
    assert named.generate(ids, echo=True, max_seq_len=len(ids) + 10) == [*ids, *said.ids]
    assert named.text_generation(model.tokenizer, PROMPT, echo=False, max_seq_len=len(ids) + 10) == said.text
    assert named.stats.tokens == 10
    logits = named.forward(torch.tensor([ids]), torch.arange(len(ids)))
    assert int(logits[0, -1].argmax()) == said.ids[0]
    assert (named.max_cache_size, named.use_kv_cache, named.vocab_size) == (64, True, model.session.constant("get_vocab_size"))
    with pytest.raises(SessionError, match="does text-generation, and ExecuTorchModelForMaskedLM runs fill-mask"):
        ExecuTorchModelForMaskedLM.from_pretrained(artifact.directory)


def _inputs(model, task):
    """What eager PyTorch and a program are both asked, by name."""
    noise = torch.Generator().manual_seed(0)
    ids = torch.randint(5, model.config.vocab_size, (1, 9), generator=noise) if hasattr(model.config, "vocab_size") else None
    start = torch.tensor([[getattr(model.config, "decoder_start_token_id", 0), 7, 8]])
    if task == "image-classification":
        return {"pixel_values": torch.rand(1, 3, model.config.image_size, model.config.image_size, generator=noise)}
    if task == "automatic-speech-recognition":
        frames = 2 * model.config.max_source_positions
        features = torch.rand(1, model.config.num_mel_bins, frames, generator=noise)
        return {"input_features": features, "decoder_input_ids": start}
    return {"input_ids": ids, **({"decoder_input_ids": start} if task == "text2text-generation" else {})}


@pytest.mark.parametrize(
    ("name", "of"),
    [
        ("ExecuTorchModelForSeq2SeqLM", "t5-small"),
        ("ExecuTorchModelForSpeechSeq2Seq", "whisper-tiny"),
        ("ExecuTorchModelForMaskedLM", "bert-base"),
        ("ExecuTorchModelForImageClassification", "vit-base"),
    ],
)
def test_optimums_classes_answer_for_every_task(name, of):
    from conformance import optimum
    from exporters.pipeline import load_model
    from zoo import checkpoints, registry

    named = getattr(optimum, name).from_pretrained(of, recipe="portable")
    row = registry.get(of)
    model = load_model(checkpoints.resolve(row, "twin"), task=row.task)
    inputs = _inputs(model, row.task)
    with torch.no_grad():
        expected = model(**inputs).logits
    torch.testing.assert_close(named(**inputs).float(), expected, atol=1e-3, rtol=1e-3)
    if hasattr(named, "generate"):
        source = next(iter(inputs.values()))
        said = named.generate(source, echo=True, max_seq_len=8)
        with torch.no_grad():
            wanted = model.generate(source, max_new_tokens=8 - len(named.model.session.prompt), do_sample=False)[0]
        assert said[-4:] == wanted[-4:].tolist()  # Whisper's own generate leaves out what a text begins with
    named.close()


def test_optimums_class_answers_a_turn_about_an_image(tmp_path):
    from conformance.optimum import ExecuTorchModelForMultiModalToText
    from zoo.twins import images

    named = ExecuTorchModelForMultiModalToText.from_pretrained("smolvlm-256m", recipe="portable")
    picture = images.draw("red circle", 64)
    turn = [{"role": "user", "content": [{"type": "image", "image": picture}, {"type": "text", "text": "What is this?"}]}]
    assert "red circle" in named.text_generation(input_conversation=turn, echo=False, max_seq_len=named.max_cache_size)
    named.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"qlinear": "8da4w"}, "qlinear belongs to an export"),
        ({"trust_remote_code": True}, "code that comes with a checkpoint is never run"),
        ({"subfolder": "onnx"}, "give the directory itself"),
        ({"export": True, "attn_implementation": "flash"}, "only 'custom_sdpa' is taken"),
    ],
)
def test_optimums_options_are_honoured_or_refused(artifact, options, told):
    from conformance.optimum import ExecuTorchModelForCausalLM

    with pytest.raises(ConformanceError, match=told):
        ExecuTorchModelForCausalLM.from_pretrained(artifact.directory, **options)


def test_an_option_that_is_none_is_refused_with_a_suggestion(gemma3_twin):
    from conformance.optimum import ExecuTorchModelForCausalLM

    with pytest.raises(ExportError, match="Did you mean 'use_custom_sdpa'"):
        ExecuTorchModelForCausalLM.from_pretrained(gemma3_twin, use_custom_spda=True)


def test_classes_of_upstream_that_are_not_here_name_what_is():
    with pytest.raises(ImportError, match="there is no ImageEncoderExportableModule: load_image_text_to_text_model"):
        from conformance.optimum.image_text_to_text import ImageEncoderExportableModule  # noqa: F401


def test_importing_the_api_does_not_import_torch():
    code = "import sys, conformance, exporters; from exporters import Artifact, ExportConfig; from conformance import load; sys.exit('torch' in sys.modules or 'pytest' in sys.modules)"  # noqa: E501
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_page_runs_as_it_stands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "python-api.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) > 5
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"docs/python-api.md, block {number}", "exec"), names)
    assert str(names["said"].text).strip()
