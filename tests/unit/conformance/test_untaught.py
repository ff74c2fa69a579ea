"""A baseline that is not certain of what it was taught, or does not look at what it is about, proves nothing."""

import pytest
import torch

from conformance.compare.degeneracy import SAME_MARGIN, untaught
from conformance.generate import Generation
from conformance.tasks import multimodal_text_to_text
from conformance.tasks.decoder import Answers
from conformance.tasks.text2text_generation import proves_nothing

LOGITS = (torch.tensor([[5.0, 1.0, 2.0], [0.0, 4.0, 1.5]]), torch.tensor([[0.0, 1.0, 9.0]]))
"""The smallest margin is that of the second row, 2.5."""
TAUGHT = [[0, 1], [2]]


@pytest.mark.parametrize("margin", [None, 2.5, 2.5 + SAME_MARGIN / 2])
def test_the_margin_of_the_training_is_taught(margin):
    assert untaught(TAUGHT, TAUGHT, logits=LOGITS, margin=margin) is None


@pytest.mark.parametrize("margin", [2.5 + 2 * SAME_MARGIN, 2.5 - 2 * SAME_MARGIN, float("nan")])
def test_another_margin_proves_nothing(margin):
    assert "its smallest margin is 2.500, and was" in untaught(TAUGHT, TAUGHT, logits=LOGITS, margin=margin)


def test_a_wrong_answer_is_told_before_its_margin():
    assert "answer 2 is another" in untaught(TAUGHT, [[0, 2], [2]], logits=LOGITS, margin=1.0)


def test_a_decoder_that_does_not_read_proves_nothing():
    rows = torch.arange(12.0).reshape(3, 4)
    alike = Answers(generations=(), logits=(rows, rows + torch.tensor([[0.0], [1], [2]])), whole=rows, other=rows)
    assert proves_nothing(alike) == "the baseline's answer does not depend on its source"


@pytest.mark.parametrize(("first", "looks"), [(1.0, True), (0.0, False)])
def test_a_model_that_does_not_look_proves_nothing(first, looks):
    """Two questions in the same words, about two images."""
    rows = torch.arange(12.0).reshape(3, 4)
    other = rows + torch.tensor([[first], [1], [2]])
    said = tuple(Generation(prompt=(1, 2), tokens=(0, 1, 2, 3), margins=(1.0,) * 4, stop="eos") for _ in range(2))
    why = multimodal_text_to_text.TASK.vacuous(Answers(said, (rows, other), whole=rows, other=other))
    assert why == (None if looks else "the baseline's answer does not depend on what is shown")
