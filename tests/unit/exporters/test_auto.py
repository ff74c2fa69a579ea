"""What a mapping picks, what is refused, and that a program that answers something else is noticed."""

import pytest

from exporters import auto
from exporters.auto import (
    AutoExportConfig,
    AutoExporter,
    AutoHfExporter,
    DynamoConfig,
    DynamoExporter,
    ExecutorchConfig,
    ExecutorchExporter,
    ExportError,
    OnnxConfig,
    OnnxExporter,
)

FIELDS = {
    "dynamo": {"dynamic", "strict", "dynamic_shapes", "prefer_deferred_runtime_asserts_over_guards", "check"},
    "onnx": {"output_path", "opset_version", "external_data", "optimize", "export_params", "keep_initializers_as_inputs"},
    "executorch": {"backend"},
}


@pytest.fixture
def fed(toy):
    """A toy and two texts for it."""
    import torch

    tokens = torch.randint(0, 48, (2, 7), generator=torch.Generator().manual_seed(0))
    return toy("llama"), {"input_ids": tokens, "attention_mask": torch.ones_like(tokens), "use_cache": False}


@pytest.mark.parametrize("key", ["format", "export_format"])
@pytest.mark.parametrize(
    ("format", "config", "exporter"),
    [
        ("dynamo", DynamoConfig, DynamoExporter),
        ("onnx", OnnxConfig, OnnxExporter),
        ("executorch", ExecutorchConfig, ExecutorchExporter),
    ],
)
def test_a_mapping_picks_the_configuration_and_the_exporter(key, format, config, exporter):
    found = AutoExportConfig.from_dict({key: format, "dynamic": True})
    assert type(found) is config
    assert found.dynamic
    assert type(AutoExporter.from_config(found)) is exporter
    assert type(AutoHfExporter.from_config({key: format})) is exporter
    assert set(found.to_dict()) == {"export_format"} | FIELDS["dynamo"] | FIELDS[format]
    assert AutoExportConfig.from_dict(found.to_dict()) == found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no format"),
        ({"format": "onxx"}, "Did you mean 'onnx'"),
        ({"format": "openvino"}, "OpenVINO"),
        ({"format": "onnx", "export_format": "dynamo"}, "differ"),
        ({"format": "onnx", "dynamc": True}, "Did you mean 'dynamic'"),
        ({"format": "dynamo", "opset_version": 20}, "unknown field of DynamoConfig 'opset_version'"),
        ({"format": "onnx", "opset_version": 9}, "18 to 23"),
        ({"format": "onnx", "output_path": "no/such/directory/model.onnx"}, "directory that exists"),
        ({"format": "dynamo", "dynamic": "yes"}, "True, False"),
        ({"format": "dynamo", "dynamic_shapes": True}, "torch.export.Dim"),
        ({"format": "executorch", "backend": "cuda"}, "without CUDA"),
        ({"format": "executorch", "backend": "xnnpak"}, "Did you mean 'xnnpack'"),
    ],
)
def test_what_means_nothing_is_refused(values, message):
    with pytest.raises(ExportError, match=message):
        AutoExportConfig.from_dict(values)


def test_models_and_inputs_that_cannot_be_exported_are_refused(fed):
    model, inputs = fed
    with pytest.raises(ExportError, match="OnnxConfig"):
        DynamoExporter().export(model, inputs, config=OnnxConfig())
    with pytest.raises(ExportError, match="no inputs"):
        DynamoExporter().export(model, {})
    with pytest.raises(ExportError, match=r"model\.eval"):
        DynamoExporter().export(model.train(), inputs)
    model.eval().config._attn_implementation = "flash_attention_2"
    with pytest.raises(ExportError, match="sdpa"):
        DynamoExporter().export(model, inputs)
    with pytest.raises(ExportError, match="does not generate"):
        auto.decompose_for_generation(model.model, inputs)
    with pytest.raises(ExportError, match="no encoder"):
        auto.decompose_multimodal(model, inputs)
    with pytest.raises(ExportError, match="labels"):
        auto.prepare_for_export(model, {**inputs, "labels": inputs["input_ids"]})


@pytest.mark.usefixtures("workarounds")
def test_a_program_that_answers_something_else_is_refused_unless_it_is_not_checked(fed):
    import torch

    model, inputs = fed

    @auto.register_fx_node_fix("dynamo")
    def wrong(graph_module, node):
        if node.target is not torch.ops.aten.silu.default:
            return False
        node.target = torch.ops.aten.relu.default
        return True

    with pytest.raises(ExportError, match="logits#0 is off by"):
        DynamoExporter().export(model, inputs)
    program = DynamoExporter().export(model, inputs, config={"check": False})
    assert isinstance(program, torch.export.ExportedProgram)


def test_dynamic_means_other_sizes_and_leaves_model_and_inputs_alone(fed):
    import torch

    from exporters.auto.checking import dynamic_dimensions

    model, inputs = fed
    model.requires_grad_(True)
    given = dict(inputs)
    program = DynamoExporter().export(model, inputs, config=DynamoConfig(dynamic=True))
    assert {name: set(axes) for name, axes in dynamic_dimensions(program).items()} == {
        "input_ids": {0, 1},
        "attention_mask": {0, 1},
    }
    assert inputs.keys() == given.keys()
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        other = {"input_ids": torch.arange(33).reshape(3, 11), "attention_mask": torch.ones(3, 11, dtype=torch.long)}
        torch.testing.assert_close(program.module()(**other).logits, model(**other).logits)
    length = torch.export.Dim("length", min=2, max=16)
    bounded = DynamoExporter().export(
        model, inputs, config=DynamoConfig(dynamic_shapes={"input_ids": {1: length}, "attention_mask": {1: length}})
    )
    assert {name: set(axes) for name, axes in dynamic_dimensions(bounded).items()} == {"input_ids": {1}, "attention_mask": {1}}
    with pytest.raises((RuntimeError, AssertionError)):
        bounded.module()(**{name: torch.ones(2, 17, dtype=torch.long) for name in other})


def test_dynamic_without_a_dimension_that_can_be_is_refused(fed):
    model, inputs = fed
    with pytest.raises(ExportError, match="every dimension became a constant"):
        DynamoExporter().export(model, {"input_ids": inputs["input_ids"][:1, :1]}, config=DynamoConfig(dynamic=True))


def test_an_onnx_graph_has_the_opset_and_the_weights_that_were_asked_for(fed, tmp_path):
    onnx = pytest.importorskip("onnx")
    model, inputs = fed
    path = tmp_path / "model.onnx"
    program = OnnxExporter().export(model, inputs, config=OnnxConfig(output_path=path, opset_version=19, external_data=False))
    assert [each.name for each in tmp_path.iterdir()] == ["model.onnx"]
    graph = onnx.load(path)
    assert [each.version for each in graph.opset_import if each.domain in ("", "ai.onnx")] == [19]
    assert [each.name for each in graph.graph.input] == ["input_ids", "attention_mask"] == program.inputs
    weights = {each.name for each in graph.graph.initializer}
    assert weights
    program.config = OnnxConfig(export_params=False, keep_initializers_as_inputs=True)
    program.save(path)
    bare = onnx.load(path)
    assert not bare.graph.initializer
    assert weights <= {each.name for each in bare.graph.input}
    assert set(program(**inputs)) == {"logits"}


def test_the_portable_backend_runs_and_a_decoder_is_taken_apart(toy):
    import torch

    model = toy("llama")
    parts = auto.decompose_for_generation(model, {"input_ids": torch.arange(1, 6)[None]})
    assert list(parts) == ["prefill", "decode"]
    assert parts["decode"][1]["input_ids"].shape == (1, 1)
    assert not auto.is_multimodal(model)
    made = ExecutorchExporter().export_for_generation(
        model, {"input_ids": torch.arange(1, 6)[None]}, config={name: {"backend": "portable"} for name in parts}
    )
    assert list(made) == ["prefill", "decode"]
    assert made["decode"].buffer[4:8] == b"ET12"
    with pytest.raises(ExportError, match="no configuration for decode"):
        ExecutorchExporter().export_for_generation(model, {"input_ids": torch.arange(1, 6)[None]}, {"prefill": {}})


@pytest.fixture
def doubled():
    """A module that doubles any number of rows where it is exported and two where it is not, with its program and inputs."""
    import torch

    class Double(torch.nn.Module):
        rows = None

        def forward(self, values):
            if self.rows is not None and values.shape[0] != self.rows:
                raise ValueError
            return 2 * values

    module, inputs = Double().eval(), {"values": torch.ones(2, 3)}
    return module, torch.export.export(module, (), inputs, dynamic_shapes={"values": {0: torch.export.Dim.AUTO}}), inputs


def test_a_program_that_is_wrong_on_another_size_only_is_noticed(doubled):
    from exporters.auto.checking import check, tensors

    module, program, inputs = doubled

    def wrong(kwargs):
        return [kwargs["values"] * len(kwargs["values"])]

    with pytest.raises(ExportError, match=r"sizes values \(3, 3\): output#0 is off by up to 1 "):
        check(wrong, program, module, inputs, "the program", tensors)


def test_what_could_not_be_compared_on_another_size_is_said(doubled):
    from exporters.auto.checking import check, tensors

    module, program, inputs = doubled
    module.rows = 2
    with pytest.warns(
        RuntimeWarning, match=r"sample inputs only: .* takes no inputs of the sizes values \(3, 3\) or values \(4, 3\)"
    ):
        check(lambda kwargs: [2 * kwargs["values"]], program, module, inputs, "the program", tensors)


def test_another_formats_export_is_named_where_a_program_is_wanted(tmp_path):
    from exporters.artifact import Artifact

    (tmp_path / "export.json").write_text('{"schema_version": 1, "format": "onnx"}')
    with pytest.raises(ExportError, match="--format pte"):
        Artifact.load(tmp_path)
