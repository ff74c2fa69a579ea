"""Detectors: folding, the sizes of images, and what the cells of the matrix do not cover."""

import json

import pytest
import torch

from conformance.compare.boxes import align, compare_boxes
from conformance.detecting import image_processor, pixels, read
from conformance.sessions.eager import EagerInference
from conformance.sessions.executorch import ExecuTorchInference
from conformance.sessions.protocol import SessionError
from exporters import ExportConfig
from exporters.components import encoders
from exporters.errors import NotApplicableError
from exporters.folding import fold_constants
from exporters.metadata import num_channels
from exporters.passes import boxes_in_fp32
from exporters.pipeline import export, load_model
from exporters.quantize import quantize
from exporters.wrappers import wrap
from zoo.checkpoints import resolve
from zoo.models.detr import DETR_RESNET_50
from zoo.models.yolos import YOLOS_TINY

TASK = "object-detection"


@pytest.fixture(scope="module")
def yolos():
    return resolve(YOLOS_TINY)


@pytest.fixture(scope="module")
def scene(yolos):
    """What the program is fed for the first scene with two objects, and its image processor."""
    from PIL import Image

    samples = json.loads((yolos / "reference.json").read_text())["samples"]
    sample = next(sample for sample in samples if len(sample["objects"]) == 2)
    processor = image_processor(yolos)
    return {"pixel_values": pixels(processor, Image.open(yolos / sample["image"]), (64, 64))}, processor


class Positions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.positions = torch.nn.Parameter(torch.rand(1, 2, 4, 4))
        self.linear = torch.nn.Linear(8, 8)

    def forward(self, x):
        grid = torch.zeros(8)
        grid[:4] += torch.arange(4)
        resampled = torch.nn.functional.interpolate(self.positions, size=(8, 8), mode="bicubic")
        return x + resampled + self.linear(grid)


def test_what_does_not_depend_on_the_input_is_a_constant_and_layers_stay():
    module, values = Positions().eval().requires_grad_(False), torch.rand(1, 2, 8, 8)
    program = fold_constants(torch.export.export(module, (values,)))
    targets = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert targets == {"aten.add.Tensor", "aten.linear.default"}
    assert "positions" not in program.state_dict
    torch.testing.assert_close(program.module()(values), module(values))
    other = torch.rand(1, 2, 8, 8)
    torch.testing.assert_close(program.module()(other), module(other))


def test_a_program_that_is_a_constant_is_folded_whole():
    class Constant(torch.nn.Module):
        def forward(self, x):
            return x + 1, torch.arange(3) * 2

    program = fold_constants(torch.export.export(Constant(), (torch.zeros(2),)))
    assert program.module()(torch.ones(2))[1].tolist() == [0, 2, 4]


@pytest.mark.parametrize(
    ("dtype", "shape", "changed"), [(torch.float16, (3, 4), 1), (torch.float32, (3, 4), 0), (torch.float16, (3, 5), 0)]
)
def test_only_the_sigmoid_of_boxes_in_16_bits_is_computed_in_fp32(dtype, shape, changed):
    values = torch.randn(shape).to(dtype)
    program = torch.export.export(torch.nn.Sigmoid(), (values,))
    assert boxes_in_fp32(program) == changed
    assert torch.equal(program.module()(values), values.float().sigmoid().to(dtype) if changed else values.sigmoid())
    assert boxes_in_fp32(program) == 0


def test_the_program_finds_what_eager_pytorch_finds_and_defects_are_seen(yolos, scene, tmp_path):
    inputs, processor = scene
    artifact = export(yolos, ExportConfig(recipe="portable"), tmp_path, task=TASK)
    session, eager = ExecuTorchInference(artifact.program), EagerInference(load_model(yolos, task=TASK))
    expected = eager.infer(inputs)
    torch.testing.assert_close(session.infer(inputs), expected, atol=1e-3, rtol=0)
    true = read(processor, expected)
    assert len(true.labels) == 2

    def wrong(answer):
        return compare_boxes(true, read(processor, align(expected, answer)), threshold=0.5, tie=1e-3).wrong

    assert not wrong(session.infer(inputs))
    channels = {"pixel_values": inputs["pixel_values"].flip(1)}
    assert wrong(session.infer(channels))
    moved = expected.clone()
    moved[:, -4] += 0.01
    assert wrong(moved)
    labels = expected.clone()
    labels[:, :4] = labels[:, [1, 2, 3, 0]]
    assert wrong(labels)
    with pytest.raises(SessionError, match="images of one size"):
        session.infer({"pixel_values": torch.rand(1, 3, 64, 80)})


def test_a_detector_is_one_stack_to_the_options(yolos):
    model = load_model(resolve(DETR_RESNET_50), task=TASK)
    assert encoders(model) == ()
    report = quantize(model, ExportConfig(qlinear="8w"))
    assert report.linear_share == 1
    assert any("encoder" in layer.name for layer in report.layers)
    assert any("decoder" in layer.name for layer in report.layers)


def test_metadata_says_how_many_queries_there_are(yolos):
    constants = wrap(load_model(yolos, task=TASK), TASK, ExportConfig()).constant_methods()
    assert constants["get_num_queries"] == YOLOS_TINY.twin.config["num_detection_tokens"]
    assert (constants["get_image_height"], constants["get_image_width"]) == (64, 64)
    assert constants["get_num_labels"] == len(YOLOS_TINY.prompts)


def test_the_channels_of_a_model_may_be_its_backbones():
    from transformers import RTDetrConfig, YolosConfig

    assert num_channels(YolosConfig(num_channels=1)) == 1
    assert num_channels(RTDetrConfig()) == 3


@pytest.mark.parametrize("option", [{"qembedding": "8w"}, {"use_custom_sdpa": True}, {"qlinear_encoder": "8w"}])
def test_what_a_detector_does_not_have_is_refused(yolos, option):
    config, model = ExportConfig(**option), load_model(yolos, task=TASK)
    refuses = quantize if "qlinear_encoder" in option else lambda model, config: wrap(model, TASK, config)
    with pytest.raises(NotApplicableError):
        refuses(model, config)
