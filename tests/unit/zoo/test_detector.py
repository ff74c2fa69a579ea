"""The twin of a detector: it finds what lies in its scenes, and is refused if it does not."""

import json

import numpy
import pytest
import torch

from zoo import registry
from zoo.errors import ZooError
from zoo.models.yolos import YOLOS_TINY
from zoo.twins import builder, detector, images, scenes, training
from zoo.twins.detector import Target

DETECTORS = registry.by_task("object-detection")


@pytest.mark.parametrize("model", DETECTORS, ids=lambda model: model.name)
def test_scenes_show_every_label_alone_and_beside_another(model):
    shown = scenes.references(model)
    names = [prompt.text for prompt in model.reference_prompts]
    assert sorted(scene[0].label for scene in shown if len(scene) == 1) == sorted(names)
    assert sorted(scene[0].label for scene in shown if len(scene) == 2) == sorted(names)
    assert all(width != height for scene in shown for thing in scene for _, _, width, height in [thing.box])


def test_a_box_is_what_its_shape_fills():
    for scene in scenes.references(YOLOS_TINY):
        pixels = numpy.asarray(scenes.draw(scene, 200)).astype(int)
        for thing in scene:
            colour = images.COLOURS[thing.label.partition(" ")[0]]
            rows, columns = (numpy.abs(pixels - colour).max(-1) < 60).nonzero()
            x, y, width, height = thing.box
            found = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
            true = [200 * value for value in (x - width / 2, y - height / 2, x + width / 2, y + height / 2)]
            assert found == pytest.approx(true, abs=4)  # the tip of a triangle is thin


def test_its_reference_says_what_lies_where():
    from zoo.checkpoints import resolve

    place = resolve(YOLOS_TINY)
    reference = json.loads((place / "reference.json").read_text())
    assert reference["smallest_margin"] >= training.MARGIN
    assert reference["smallest_iou"] >= detector.IOU
    assert [sample["objects"] for sample in reference["samples"]] == [
        [{"label": thing.label, "box": list(thing.box)} for thing in scene] for scene in scenes.references(YOLOS_TINY)
    ]


def test_a_twin_that_does_not_find_its_objects_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "MAX_STEPS", training.STEPS_A_ROUND)
    monkeypatch.setattr(training, "LEARNING_RATE", 1e-9)
    with pytest.raises(ZooError, match=r"cannot find what lies in its images.*0\.5 is needed.*0\.8 is needed"):
        builder.build(YOLOS_TINY, tmp_path)
    assert not (tmp_path / "model.safetensors").exists()


def test_overlap_of_boxes_in_pairs():
    first = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.5, 0.5, 1.0]])
    second = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.75, 0.5, 0.5, 1.0]])
    assert detector.generalized_iou(first, second, generalized=False).tolist() == [1, 0]
    assert detector.generalized_iou(first, second).tolist() == pytest.approx([1, 0])
    apart = torch.tensor([[0.125, 0.5, 0.25, 1.0]]), torch.tensor([[0.875, 0.5, 0.25, 1.0]])
    assert detector.generalized_iou(*apart).tolist() == pytest.approx([-0.5])


@pytest.mark.parametrize("columns", [2, 3], ids=("sigmoid", "softmax"))
def test_each_object_has_a_query_of_its_own(columns):
    target = Target(torch.tensor([0, 1]), torch.tensor([[0.2, 0.2, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]]))
    boxes = torch.tensor([[0.8, 0.8, 0.1, 0.1], [0.7, 0.7, 0.1, 0.1], [0.3, 0.3, 0.1, 0.1]])
    assert detector.match(torch.zeros(3, columns), boxes, target, 2).tolist() == [2, 0]
    same = torch.full((3, 4), 0.5)
    assert len(set(detector.match(torch.zeros(3, columns), same, target, 2).tolist())) == 2


def test_frozen_statistics_become_those_of_what_is_fed():
    class FakeFrozenBatchNorm2d(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.running_mean, self.running_var = torch.zeros(2), torch.ones(2)

        def forward(self, x):
            return (x - self.running_mean[:, None, None]) / self.running_var.sqrt()[:, None, None]

    model = torch.nn.Sequential(FakeFrozenBatchNorm2d(), torch.nn.ReLU(), FakeFrozenBatchNorm2d())
    values = 3 + 2 * torch.randn(8, 2, 4, 4)
    training.calibrate_frozen(model, lambda: model(values))
    answer = model(values)
    assert answer.mean((0, 2, 3)).tolist() == pytest.approx([0, 0], abs=1e-5)
    assert answer.var((0, 2, 3)).tolist() == pytest.approx([1, 1], abs=1e-4)
