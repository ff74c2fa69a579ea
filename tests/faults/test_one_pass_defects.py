"""Defects put into models of one pass and their preprocessing on purpose: each must be caught by the check that is for it.

The exportable module is run in eager PyTorch here, so that a defect costs no lowering; the checks are the suite's own.
"""

import copy
import json

import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor

from conformance.compare.logits import compare_logits, judge_logits
from conformance.compare.shapes import check_shapes
from conformance.compare.tolerance import EXACT
from conformance.sessions.eager import EagerInference
from conformance.sessions.protocol import SessionError
from conformance.tasks.feature_extraction import SIMILARITY, compare_embeddings, embeddings, judge_retrieval
from conformance.tasks.fill_mask import judge_filled, text_inputs
from exporters import ExportConfig
from exporters.pipeline import load_model
from exporters.wrappers import wrap
from zoo.checkpoints import resolve
from zoo.models.bert import BERT_BASE
from zoo.models.minilm import MINILM_L6
from zoo.models.resnet import RESNET_50
from zoo.models.vit import VIT_BASE
from zoo.twins import texts

NEAR_TIE = 2e-3


class ModuleInference:
    """The exportable module in eager PyTorch."""

    def __init__(self, module):
        self.module = module

    @torch.no_grad()
    def infer(self, inputs):
        if "pixel_values" in inputs:
            if inputs["pixel_values"].shape[2:] != (self.module.height, self.module.width):
                raise SessionError("images of one size")
            return self.module(**inputs)
        if inputs["input_ids"].shape[1] > self.module.max_seq_len:
            raise SessionError("too many tokens")
        return self.module(**inputs)[0]


def sound(model):
    """The eager session of a twin, and the exportable module around a model of its own."""
    checkpoint = resolve(model)
    config = ExportConfig(max_seq_len=None if model.twin.image_size else model.twin.max_seq_len)
    network = load_model(checkpoint, task=model.task)
    return EagerInference(load_model(checkpoint, task=model.task)), wrap(network, model.task, config), checkpoint


def samples(checkpoint):
    return json.loads((checkpoint / "reference.json").read_text(encoding="utf-8"))["samples"]


def text_verdicts(model, defect, monkeypatch):
    """Status of the checks ``logits``, ``tokens`` and ``shapes`` of a model that fills masks."""
    eager, module, checkpoint = sound(model)
    known = samples(checkpoint)
    inputs = [text_inputs(sample["tokens"]) for sample in known]
    defect(monkeypatch, module)
    session = ModuleInference(module)
    at = [[position for position, _ in sample["targets"]] for sample in known]
    expected, found = (
        torch.cat([asked.infer(each)[positions] for each, positions in zip(inputs, at, strict=True)])
        for asked in (eager, session)
    )
    right = torch.tensor([target for sample in known for _, target in sample["targets"]])
    return {
        "logits": judge_logits(compare_logits(expected, found), EXACT).status,
        "tokens": judge_filled(expected, found, right, tie=NEAR_TIE).status,
        "shapes": check_shapes(session, eager, inputs, module.max_seq_len, EXACT).status,
    }


def image_verdicts(model, defect, monkeypatch):
    """Status of the checks ``logits``, ``classes`` and ``shapes`` of an image classifier."""
    eager, module, checkpoint = sound(model)
    processor = AutoImageProcessor.from_pretrained(checkpoint, local_files_only=True, backend="pil")
    shown = [Image.open(checkpoint / sample["image"]) for sample in samples(checkpoint)]
    inputs = [{"pixel_values": processor(image, return_tensors="pt")["pixel_values"]} for image in shown]
    defect(monkeypatch, module)
    session = ModuleInference(module)
    expected, found = (torch.cat([asked.infer(each) for each in inputs]) for asked in (eager, session))
    labels = eager.model.config.label2id
    right = torch.tensor([labels[sample["label"]] for sample in samples(checkpoint)])
    return {
        "logits": judge_logits(compare_logits(expected, found), EXACT).status,
        "classes": judge_filled(expected, found, right, tie=NEAR_TIE).status,
        "shapes": check_shapes(session, eager, inputs, None, EXACT).status,
    }


def nothing(monkeypatch, module):
    """No defect."""


def mask_ignored(monkeypatch, module):
    forward = module.model.forward
    monkeypatch.setattr(
        module.model, "forward", lambda input_ids, attention_mask: forward(input_ids, torch.ones_like(attention_mask))
    )


def first_token_masked(monkeypatch, module):
    """The first token is taken for padding."""
    forward = module.model.forward

    def blind(input_ids, attention_mask):
        return forward(input_ids, torch.cat([torch.zeros_like(attention_mask[:, :1]), attention_mask[:, 1:]], dim=1))

    monkeypatch.setattr(module.model, "forward", blind)


def positions_off_by_one(monkeypatch, module):
    table = module.model.base_model.embeddings.position_embeddings
    forward = table.forward
    monkeypatch.setattr(table, "forward", lambda at: forward(at + 1))


def positions_stop_halfway(monkeypatch, module):
    table = module.model.base_model.embeddings.position_embeddings
    forward = table.forward
    monkeypatch.setattr(table, "forward", lambda at: forward(at.clamp(max=module.max_seq_len // 2)))


def segments_dropped(monkeypatch, module):
    module.model.base_model.embeddings.token_type_embeddings.weight.zero_()


def output_bias_dropped(monkeypatch, module):
    module.model.get_output_embeddings().bias = None


def causal(monkeypatch, module):
    """A token sees those before it only."""
    forward = module.model.forward

    def one_way(input_ids, attention_mask):
        length = input_ids.shape[1]
        mask = torch.full((length, length), float("-inf")).triu(1)[None, None] + (1 - attention_mask[:, None, None]) * -1e9
        return forward(input_ids, mask)

    monkeypatch.setattr(module.model, "forward", one_way)


TEXT_DEFECTS = {
    mask_ignored: {"shapes"},
    first_token_masked: {"logits", "shapes"},
    positions_off_by_one: {"logits", "shapes"},
    positions_stop_halfway: {"shapes"},
    segments_dropped: {"logits", "shapes"},
    output_bias_dropped: {"logits", "shapes"},
    causal: {"logits", "tokens", "shapes"},
}
"""Each defect of a model of texts, and the checks that must catch it."""


def test_a_sound_model_of_texts_passes_every_check(monkeypatch):
    assert set(text_verdicts(BERT_BASE, nothing, monkeypatch).values()) == {"pass"}


@pytest.mark.parametrize("defect", TEXT_DEFECTS, ids=lambda defect: defect.__name__)
def test_a_defect_of_a_model_of_texts_is_caught(monkeypatch, defect):
    found = text_verdicts(BERT_BASE, defect, monkeypatch)
    assert {name for name in TEXT_DEFECTS[defect] if found[name] == "pass"} == set()


def channels_swapped(monkeypatch, module):
    forward = module.model.forward
    monkeypatch.setattr(module.model, "forward", lambda pixel_values: forward(pixel_values=pixel_values.flip(1)))


def transposed(monkeypatch, module):
    forward = module.model.forward
    monkeypatch.setattr(module.model, "forward", lambda pixel_values: forward(pixel_values=pixel_values.transpose(2, 3)))


def normalised_twice(monkeypatch, module):
    forward = module.model.forward
    monkeypatch.setattr(module.model, "forward", lambda pixel_values: forward(pixel_values=(pixel_values - 0.5) / 0.5))


def statistics_reset(monkeypatch, module):
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_running_stats()


def statistics_of_the_image(monkeypatch, module):
    """Batch norm as in training."""
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.train()


def epsilon_of_another_framework(monkeypatch, module):
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.eps = 1e-3


def last_image_answered(monkeypatch, module):
    forward = module.model.forward
    last = [torch.zeros(1, 3, module.height, module.width)]

    def late(pixel_values):
        answer = forward(pixel_values=last[0])
        last[0] = pixel_values
        return answer

    monkeypatch.setattr(module.model, "forward", late)


def patches_without_positions(monkeypatch, module):
    module.model.vit.embeddings.position_embeddings.data.zero_()


ALL = {"logits", "classes", "shapes"}
IMAGE_DEFECTS = [
    (VIT_BASE, channels_swapped, ALL),
    (VIT_BASE, transposed, {"logits", "shapes"}),
    (VIT_BASE, normalised_twice, {"logits", "shapes"}),
    (VIT_BASE, patches_without_positions, {"logits", "shapes"}),
    (VIT_BASE, last_image_answered, ALL),
    (RESNET_50, channels_swapped, ALL),
    (RESNET_50, statistics_reset, {"logits", "shapes"}),
    (RESNET_50, statistics_of_the_image, {"logits", "shapes"}),
    (RESNET_50, epsilon_of_another_framework, {"logits", "shapes"}),
]
"""Each defect of a model of images, and the checks that must catch it."""


@pytest.mark.parametrize("model", [VIT_BASE, RESNET_50], ids=lambda model: model.name)
def test_a_sound_model_of_images_passes_every_check(monkeypatch, model):
    assert set(image_verdicts(model, nothing, monkeypatch).values()) == {"pass"}


@pytest.mark.parametrize(
    ("model", "defect", "checks"),
    IMAGE_DEFECTS,
    ids=[f"{model.family}-{defect.__name__}" for model, defect, _ in IMAGE_DEFECTS],
)
def test_a_defect_of_a_model_of_images_is_caught(monkeypatch, model, defect, checks):
    found = image_verdicts(model, defect, monkeypatch)
    assert {name for name in checks if found[name] == "pass"} == set()


@pytest.mark.parametrize("option", ["image_mean", "image_std", "do_normalize", "do_rescale"])
def test_preprocessing_that_is_left_out_changes_what_the_classifier_answers(option):
    """Both sessions are given what the checkpoint's own image processor makes, so that no comparison of theirs sees it."""
    eager, _, checkpoint = sound(RESNET_50)
    processor = AutoImageProcessor.from_pretrained(checkpoint, local_files_only=True, backend="pil")
    broken = copy.deepcopy(processor)
    setattr(broken, option, {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}.get(option, False))
    known = samples(checkpoint)
    right = torch.tensor([eager.model.config.label2id[sample["label"]] for sample in known])

    def logits(of):
        shown = [of(Image.open(checkpoint / sample["image"]), return_tensors="pt")["pixel_values"] for sample in known]
        return torch.cat([eager.infer({"pixel_values": pixels}) for pixels in shown])

    expected = logits(processor)
    assert judge_filled(expected, expected, right, tie=NEAR_TIE).metrics["right"] == 1
    assert judge_logits(compare_logits(expected, logits(broken)), EXACT).status == "fail"


def test_pooling_over_padding_is_caught():
    """The mean over a padded text takes in the states of the padding."""
    from transformers import AutoTokenizer

    eager, module, checkpoint = sound(MINILM_L6)
    coder = AutoTokenizer.from_pretrained(checkpoint, local_files_only=True)
    questions, passages = zip(*texts.embedded(MINILM_L6, coder, module.max_seq_len), strict=True)
    session = ModuleInference(module)

    def states(ids, *, pad):
        inputs = text_inputs(ids)
        missing = module.max_seq_len - len(ids)
        padded = {name: torch.nn.functional.pad(value, (0, missing)) for name, value in inputs.items()}
        answer = session.infer(padded)
        return answer if pad else answer[: len(ids)]

    everything = (*questions, *passages)
    expected = embeddings([eager.infer(text_inputs(ids)) for ids in everything], texts.MEAN)
    for pad, status in ((False, "pass"), (True, "fail")):
        found = embeddings([states(ids, pad=pad) for ids in everything], texts.MEAN)
        verdict = judge_retrieval(compare_embeddings(expected, found), least=SIMILARITY, judged=True, trained=True)
        assert verdict.status == status, verdict.message
