"""What the cells of the matrix do not cover: other options, and what is left behind when an export fails."""

import collections
import json

import pytest
import torch

from conformance.generate import generate
from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import SessionError
from exporters import ExportConfig, ExportError
from exporters.artifact import LinearWeights
from exporters.pipeline import export, load_model
from exporters.wrappers.causal_lm import CausalLMExportableModule
from zoo.checkpoints import resolve
from zoo.models.qwen3 import QWEN3_0_6B
from zoo.models.smollm2 import SMOLLM2_135M


@pytest.fixture(scope="module")
def smollm2():
    return resolve(SMOLLM2_135M)


def test_a_static_program_takes_one_token_a_call_and_says_the_same(smollm2, tmp_path):
    stages = []
    artifact = export(
        smollm2,
        ExportConfig.from_id("portable-fp32-static", max_seq_len=40),
        tmp_path,
        on_stage=lambda name, ended: stages.append((name, ended is not None)),
    )
    assert stages == [(name, ended) for name in ("quantize", "export", "lower", "emit") for ended in (False, True)]
    session, eager = ExecuTorchSession(artifact.program), EagerSession(load_model(smollm2), 40)
    assert session.constant("enable_dynamic_shape", True) is False
    assert tuple(session.method_meta().input_tensor_meta(0).sizes()) == (1, 1)
    prompt = json.loads((smollm2 / "reference.json").read_text())["samples"][0]["tokens"][:11]
    expected = generate(eager, prompt, max_new_tokens=29)
    assert generate(session, prompt, max_new_tokens=29).tokens == expected.tokens
    assert session.forward(torch.tensor([prompt]), 0).shape == (11, 384)


def test_a_call_may_be_bounded_below_the_cache_and_prompts_are_fed_in_parts(smollm2, tmp_path):
    config = ExportConfig.from_id("xnnpack-fp32-sdpa-kv", max_seq_len=64, max_prefill_len=8)
    artifact = export(smollm2, config, tmp_path)
    session = ExecuTorchSession(artifact.program)
    assert (session.constant("get_max_seq_len"), session.constant("get_max_context_len")) == (8, 64)
    assert tuple(session.method_meta().input_tensor_meta(0).sizes()) == (1, 8)
    tokens = torch.tensor([json.loads((smollm2 / "reference.json").read_text())["samples"][0]["tokens"]])
    assert tokens.shape[1] > 16
    expected = EagerSession(load_model(smollm2), 64).forward(tokens, 0)
    torch.testing.assert_close(session.forward(tokens, 0), expected, atol=1e-3, rtol=0)
    with pytest.raises(SessionError, match="forward failed"):
        session.run("forward", tokens[:, :9], torch.arange(9))
    with pytest.raises(ExportError, match="max_prefill_len 9000 exceeds the 256 positions"):
        export(smollm2, ExportConfig(max_prefill_len=9000), tmp_path / "more")


def test_another_group_size_is_the_one_in_the_delegated_graph(tmp_path):
    artifact = export(resolve(QWEN3_0_6B), ExportConfig.from_id("xnnpack-fp32-8da4w-g64", max_seq_len=16), tmp_path)
    assert artifact.account.realised.linear_weights == [LinearWeights(bits=4, group_size=64, count=15)]
    assert {layer["group_size"] for layer in artifact.account.quantization["layers"]} == {64}


@pytest.mark.parametrize(
    ("configuration", "whole"),
    [
        ("xnnpack-fp32-4w", {True}),
        ("xnnpack-fp32-pt2e", {True}),
        ("portable-fp32-8w", {True}),
        ("xnnpack-fp32-8da4w+8da8w-g64", {True, False}),
    ],
)
def test_the_weights_in_a_program_are_those_that_were_made_wherever_they_run(smollm2, tmp_path, configuration, whole):
    artifact = export(smollm2, ExportConfig.from_id(configuration, max_seq_len=16), tmp_path)
    account = artifact.account
    layers = [layer for layer in account.quantization["layers"] if layer["kind"] == "linear"]
    made = collections.Counter((layer["weight_bits"], layer["group_size"]) for layer in layers)
    assert {(each.bits, each.group_size): each.count for each in account.realised.linear_weights} == made
    assert {layer["group_size"] == layer["shape"][-1] for layer in layers} == whole
    mixed = [name for name in account.realised.operators if "mixed_linear" in name]
    assert bool(mixed) == configuration.startswith("portable")


def test_a_program_may_take_embeddings(smollm2):
    import executorch.extension.llm.custom_ops.custom_ops  # noqa: F401
    from executorch.exir import EdgeCompileConfig, to_edge_transform_and_lower
    from executorch.runtime import Runtime

    model = load_model(smollm2)
    tokens = torch.randint(3, 300, (1, 12), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        expected = model(tokens, use_cache=False).logits[0]
        embedded = model.get_input_embeddings()(tokens)
        module = CausalLMExportableModule(model, ExportConfig(recipe="portable", max_seq_len=16), embeddings=True)
        method = module.methods()["forward"]
        program = torch.export.export(module, method.example_inputs, dynamic_shapes=method.dynamic_shapes, strict=False)
        edge = to_edge_transform_and_lower(
            program, compile_config=EdgeCompileConfig(_check_ir_validity=False, _skip_dim_order=True)
        )
    runtime = Runtime.get().load_program(edge.to_executorch().buffer)  # has the weights, which its method does not keep
    forward = runtime.load_method("forward")
    for start, end in ((0, 1), (1, 9), (9, 12)):
        found = forward.execute([embedded[:, start:end].contiguous(), torch.arange(start, end)])[0][0]
        torch.testing.assert_close(found, expected[start:end], atol=1e-4, rtol=0)


def test_a_failed_export_leaves_what_was_there(smollm2, tmp_path):
    (tmp_path / "model.pte").write_bytes(b"an earlier program")
    with pytest.raises(ExportError, match="with the group size 64 does not take every linear layer"):
        export(smollm2, ExportConfig(qlinear="8da4w", qlinear_group_size=64, max_seq_len=16), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.pte"]
    assert (tmp_path / "model.pte").read_bytes() == b"an earlier program"


@pytest.mark.parametrize("config", ["{}", '{"model_type": "no-such-model"}', "not json"])
def test_a_checkpoint_that_cannot_be_loaded_is_named(tmp_path, config):
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ExportError, match="cannot load the checkpoint"):
        export(tmp_path, ExportConfig(max_seq_len=16), tmp_path / "out")


def test_a_task_without_a_wrapper_is_refused(smollm2, tmp_path):
    with pytest.raises(ExportError, match=r"unknown task 'text-generatoin'\. Did you mean 'text-generation'\?"):
        export(smollm2, ExportConfig(max_seq_len=16), tmp_path, task="text-generatoin")


def test_weights_that_the_checkpoint_does_not_have_are_never_made_up(smollm2, tmp_path):
    import shutil

    place = shutil.copytree(smollm2, tmp_path / "checkpoint")
    configuration = json.loads((place / "config.json").read_text())
    (place / "config.json").write_text(json.dumps({**configuration, "num_hidden_layers": 3}))
    with pytest.raises(ExportError, match=r"does not have 9 of the weights .*model\.layers\.2\..*would be random"):
        export(place, ExportConfig(max_seq_len=16), tmp_path / "out")


def test_a_directory_that_cannot_be_written_is_refused_before_the_work(smollm2, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ExportError, match="cannot write to"):
        export(smollm2, ExportConfig(max_seq_len=16), tmp_path / "file" / "out", on_stage=lambda *_: pytest.fail("began"))
