"""``zoo export --format``: torch.export's and ONNX files are checked against eager PyTorch, and say what they cannot honour."""

import dataclasses
import json

import pytest

from exporters import ExportConfig, graphs


@pytest.mark.parametrize(
    ("model", "format", "inputs"),
    [
        ("gemma3-270m", "pt2", ["tokens", "cache_position"]),
        ("bert-base", "onnx", ["input_ids", "attention_mask"]),
        (
            "smollm2-135m",
            "onnx",
            [
                "input_ids",
                "position_ids",
                *(f"past_key_values.{layer}.{half}" for layer in (0, 1) for half in ("key", "value")),
            ],
        ),
    ],
)
def test_a_format_is_written_and_answers_what_eager_pytorch_answers(invoke, tmp_path, monkeypatch, model, format, inputs):
    monkeypatch.delenv("ZOO_CACHE")
    result = invoke("export", "--model", model, "--format", format, "--output_dir", "out")
    assert result.code == 0, result.err
    assert f"model.{format}" in result.out
    assert "pass: max abs logit error" in result.out
    account = json.loads((tmp_path / "out" / "export.json").read_text())
    assert account["format"] == format
    method = account["methods"]["forward"]
    assert method["inputs"] == inputs
    assert method["name"] == f"model.{format}"
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert not list((tmp_path / "out").glob(".partial*"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--format", "onnx", "--recipe", "portable"], "--recipe: it says how a program is lowered"),
        (["--format", "pt2", "--stock-lowering"], "--stock_lowering"),
        (["--format", "pt2", "--profile"], "--profile: it times"),
        (["--format", "onnx", "--use_custom_sdpa"], "use_custom_sdpa: it is an operator of ExecuTorch's"),
        (["--format", "pt2", "--qlinear", "8da4w"], "qlinear: quantized layers are made for the kernels of a recipe"),
        (["--format", "onnx", "--pt2e_quantize", "xnnpack_dynamic"], "pt2e_quantize: quantized layers are made for"),
        (["--format", "pt2", "--metadata", '{"get_bos_id": 1}'], "metadata: constant methods are a .pte's"),
        (["--format", "onnx", "--max_prefill_len", "4"], "max_prefill_len: it tells runners of a .pte"),
        (["--format", "pt2", "--verbose"], "--verbose: it tells which operators are delegated"),
        (["--format", "onnx", "--dtype", "bf16"], "no bfloat16"),
        (["--format", "onx"], "Did you mean 'onnx'"),
    ],
)
def test_what_a_format_cannot_honour_is_refused_before_anything_is_done(invoke, tmp_path, options, message):
    result = invoke("export", "--model", "smollm2-135m", "--output_dir", "out", *options)
    assert result.code != 0
    assert message in result.err
    assert not (tmp_path / "out").exists()


def test_every_option_of_a_configuration_is_honoured_in_graphs_or_refused():
    honoured = {"dtype", "dynamic_shapes", "max_seq_len", "max_source_len", "image_size"}
    fields = {field.name for field in dataclasses.fields(ExportConfig)}
    beside = {"recipe", "allow_skipped_layers", *(name for name in fields if name.endswith("_group_size"))}  # not by themselves
    assert fields == honoured | beside | set(graphs.REFUSED)


def test_a_program_in_the_way_keeps_its_account(invoke, tmp_path, monkeypatch):
    monkeypatch.delenv("ZOO_CACHE")
    (tmp_path / "model.pte").write_bytes(b"")
    result = invoke("export", "--model", "smollm2-135m", "--format", "pt2", "--output_dir", str(tmp_path))
    assert result.code != 0
    assert "holds a model.pte" in result.err


def test_without_its_packages_onnx_says_what_to_install(invoke, monkeypatch):
    from exporters.auto import onnx_program

    monkeypatch.delenv("ZOO_CACHE")
    monkeypatch.setattr(onnx_program, "PACKAGES", ("onnx", "no_such_package"))
    result = invoke("export", "--model", "smollm2-135m", "--format", "onnx", "--output_dir", "out")
    assert result.code != 0
    assert "pip install 'executorch-zoo[onnx]'" in result.err


@pytest.mark.parametrize(
    ("model", "message"), [("lfm2-350m", "keeps LinearAttentionLayer"), ("t5-small", "encoder, text_decoder")]
)
def test_models_whose_state_onnx_cannot_hand_on_are_refused(invoke, monkeypatch, tmp_path, model, message):
    monkeypatch.delenv("ZOO_CACHE")
    result = invoke("export", "--model", model, "--format", "onnx", "--output_dir", "out")
    assert result.code != 0
    assert message in result.err
    assert not list((tmp_path / "out").iterdir())
