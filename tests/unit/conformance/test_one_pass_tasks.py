"""What the records of models of one pass tell, and that the figures are of the positions that count."""

import pytest
import torch

from conformance.compare.tolerance import tolerance
from conformance.tasks import feature_extraction, fill_mask, image_classification
from conformance.tasks.one_pass import Examples, Judgement
from exporters import ExportConfig

ROUNDED = ExportConfig.from_id("xnnpack-fp16")


class Blank:
    """A record without anything in it."""

    def __init__(self):
        self.checks = {}


def judged(task, targets, answers, found=None):
    """The checks of answers [n, classes] or [1, classes], one for each example."""
    examples = Examples(inputs=({},) * len(answers), targets=targets, max_seq_len=None)
    found = answers if found is None else found
    record = Blank()
    task.judge(Judgement(examples, ROUNDED, tolerance(ROUNDED), answers, answers, found, trained=True), record)
    return record.checks


@pytest.fixture
def logits():
    """Of two texts of four tokens, over ten tokens."""
    return tuple(torch.randn(2, 4, 10, generator=torch.Generator().manual_seed(0)) * 5)


def targets(logits, positions):
    return tuple(tuple((at, int(each[at].argmax())) for at in positions) for each in logits)


def test_masked_tokens_are_compared_by_their_five_best_and_others_are_not_counted(logits):
    found = tuple(each.clone() for each in logits)
    for each in found:
        each[0] = -each[0]  # not masked
    checks = judged(fill_mask.TASK, targets(logits, (1, 3)), logits, found)
    assert checks["logits"].metrics["positions"] == 4
    assert (checks["logits"].metrics["top1"], checks["logits"].metrics["top5"]) == (1, 1)
    fifth, sixth = logits[0][1].topk(6).indices[4:]
    found[0][1, sixth] = found[0][1, fifth] + 0.01
    checks = judged(fill_mask.TASK, targets(logits, (1, 3)), logits, found)
    assert checks["logits"].metrics["top5"] == pytest.approx(1 - 1 / 5 / 4)
    assert {"same", "right", "near_ties"} <= checks["tokens"].metrics.keys()
    assert "top5" in checks["quality"].metrics


def test_another_best_token_fails_unless_it_is_a_near_tie(logits):
    found = tuple(each.clone() for each in logits)
    found[0][1] = -found[0][1]
    checks = judged(fill_mask.TASK, targets(logits, (1, 3)), logits, found)
    assert checks["logits"].status == "fail"
    assert checks["logits"].metrics["top1"] == checks["tokens"].metrics["same"] == 3 / 4


def test_classes_are_compared_by_their_logits_and_the_best(logits):
    answers = tuple(each[:1] for each in logits)
    checks = judged(image_classification.TASK, tuple(int(each.argmax()) for each in answers), answers)
    assert {"logits", "classes", "quality"} == checks.keys()
    assert checks["logits"].metrics["top1"] == checks["classes"].metrics["right"] == 1
    assert checks["logits"].metrics["max_abs_error"] == 0
    wrong = judged(image_classification.TASK, tuple(int(each.argmin()) for each in answers), answers)
    assert wrong["classes"].metrics["right"] == 0


def test_embeddings_are_compared_by_their_cosine():
    passages = torch.eye(6)[:3]
    texts = (*((passages + 0.1)[:, None].expand(3, 2, 6)), *(passages[:, None].expand(3, 2, 6)))
    checks = judged(feature_extraction.ENCODER, (None,) * 6, texts)
    assert checks["retrieval"].metrics["cosine"] == pytest.approx(1)
    assert (checks["retrieval"].metrics["same"], checks["retrieval"].metrics["right"]) == (1, 1)
    turned = tuple(each.roll(1, -1) for each in texts[:1]) + texts[1:]
    checks = judged(feature_extraction.ENCODER, (None,) * 6, texts, turned)
    assert checks["retrieval"].status == "fail"
    assert checks["retrieval"].metrics["cosine"] < 0.99
    assert checks["retrieval"].metrics["right"] == pytest.approx(2 / 3)
