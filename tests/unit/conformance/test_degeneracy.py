"""A baseline that would agree with anything is found out."""

import math

import pytest
import torch

from conformance.compare.degeneracy import (
    DISTINCT_TOKENS,
    SMALLEST_CHANGE,
    SMALLEST_MAGNITUDE,
    check_baseline,
    untaught,
    vacuous,
)
from conformance.generate import Generation

LOGITS = (torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 1.0]]))


def said(distinct):
    return Generation(prompt=(1,), tokens=(0,) * 9 + tuple(range(distinct)), margins=(1.0,) * (9 + distinct), stop="eos")


def test_logits_that_vary_and_an_answer_that_varies_prove_something():
    assert vacuous(LOGITS, [said(DISTINCT_TOKENS)]) is None


def test_one_varied_answer_is_enough():
    assert vacuous(LOGITS, [said(1), said(DISTINCT_TOKENS), said(1)]) is None


def test_a_task_that_says_nothing_is_judged_by_its_logits_alone():
    assert vacuous(LOGITS, None) is None
    assert "do not depend on its input" in vacuous([LOGITS[0], LOGITS[0]], None)


def test_an_answer_of_too_few_distinct_tokens_proves_nothing():
    assert f"{DISTINCT_TOKENS - 1} distinct tokens" in vacuous(LOGITS, [said(1), said(DISTINCT_TOKENS - 1)])


@pytest.mark.parametrize(("factor", "proves"), [(1.01, True), (0.99, False)])
def test_logits_need_magnitude(factor, proves):
    largest = SMALLEST_MAGNITUDE * factor
    found = vacuous([torch.tensor([[0.0, largest]]), torch.tensor([[largest / 2, 0.0]])], [said(9)])
    assert (found is None) is proves
    assert proves or "largest logit" in found


@pytest.mark.parametrize(("factor", "proves"), [(1.01, True), (0.99, False)])
def test_logits_must_change_with_the_input(factor, proves):
    found = vacuous([LOGITS[0], LOGITS[0] + SMALLEST_CHANGE * factor], [said(9)])
    assert (found is None) is proves
    assert proves or "do not depend on its input" in found


def test_logits_of_one_input_alone_prove_nothing():
    assert "do not depend on its input" in vacuous(LOGITS[:1], [said(9)])


@pytest.mark.parametrize("place", [0, 1])
def test_a_logit_that_is_not_a_number_proves_nothing_whichever_input_it_belongs_to(place):
    logits = [values.clone() for values in LOGITS]
    logits[place][0, 0] = math.nan
    assert vacuous(logits, [said(9)]) is not None


@pytest.mark.parametrize(
    ("said", "at"),
    [([[1, 2], [3]], None), ([[1, 2], [4]], (2, 1)), ([[1, 3], [3]], (1, 2)), ([[1], [3]], (1, 2)), ([[1, 2, 2], [3]], (1, 3))],
    ids=["right", "another", "late", "too short", "too long"],
)
def test_a_twin_that_does_not_say_what_it_was_trained_to_proves_nothing(said, at):
    why = untaught([[1, 2], [3]], said)
    assert check_baseline(why).status == ("pass" if at is None else "inconclusive")
    assert at is None or f"reference {at[0]} as it was trained to: answer {at[1]} is another" in why
