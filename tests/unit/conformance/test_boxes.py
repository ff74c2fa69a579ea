"""Detections are compared as sets: a box that moved, a label that changed, an object that is missing are found."""

import pytest
import torch

from conformance.compare.boxes import align, compare_boxes, iou, judge_boxes, pair, right, rounding
from conformance.detecting import Detections

SQUARES = torch.tensor([[0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 0.9]])


def detections(boxes=SQUARES, labels=(1, 2), scores=(0.9, 0.8)):
    return Detections(torch.tensor(scores), torch.tensor(labels), boxes)


def compared(found, expected=None, **options):
    return compare_boxes(expected or detections(), found, threshold=0.5, **{"tie": 1e-3, **options})


def verdict(comparison, **options):
    return judge_boxes([comparison], 0.0, None, must_be_right=False, **options)


def test_overlap_is_that_of_areas():
    boxes = torch.tensor([[0.0, 0.0, 2.0, 1.0], [1.0, 0.0, 3.0, 1.0], [5.0, 5.0, 6.0, 6.0], [1.0, 1.0, 1.0, 1.0]])
    found = iou(boxes, boxes)
    assert found[0, 1] == pytest.approx(1 / 3)
    assert found.diagonal().tolist() == [1, 1, 1, 0]
    assert found[0, 2] == found[2, 3] == 0
    assert torch.equal(found, found.T)


def test_pairs_are_the_likest_first_and_none_twice():
    likeness = torch.tensor([[0.9, 0.8], [0.95, 0.1], [float("-inf"), float("-inf")]])
    assert pair(likeness) == [(1, 0), (0, 1)]
    assert pair(torch.zeros(0, 3)) == []


def test_equal_sets_in_any_order_are_the_same():
    swapped = detections(SQUARES.flip(0), (2, 1), (0.8, 0.9))
    found = compared(swapped)
    assert (found.same, found.wrong, found.near_ties) == (2, (), 0)
    assert found.smallest_iou == pytest.approx(1)
    assert found.max_score_error == 0
    assert verdict(found).status == "pass"


@pytest.mark.parametrize(
    ("found", "told"),
    [
        (detections(SQUARES + torch.tensor([0.01, 0, 0.01, 0])), "overlaps by 0.96"),
        (detections(SQUARES[:, [1, 0, 3, 2]]), "overlaps by"),
        (detections(labels=(1, 3)), "of label 2 (score 0.800) is missing"),
        (detections(labels=(2, 1)), "overlaps by 0.0000"),
        (detections(SQUARES[:1], (1,), (0.9,)), "of label 2 (score 0.800) is missing"),
        (detections(torch.cat([SQUARES, SQUARES[:1]]), (1, 2, 1), (0.9, 0.8, 0.7)), "(score 0.700) is not in the baseline"),
        (detections(SQUARES * float("nan")), "of label 1 (score 0.900) is missing"),
    ],
    ids=("moved", "turned", "another label", "labels swapped", "missing", "twice", "not a number"),
)
def test_what_is_not_the_same_is_named(found, told):
    comparison = compared(found)
    assert any(told in each for each in comparison.wrong), comparison.wrong
    assert verdict(comparison).status == "fail"


@pytest.mark.parametrize(("score", "ties"), [(0.5005, 1), (0.502, 0)])
def test_a_score_at_the_threshold_is_a_toss_up_and_no_other(score, ties):
    found = compared(detections(SQUARES[:1], (1,), (0.9,)), detections(scores=(0.9, score)))
    assert found.near_ties == ties
    assert bool(found.wrong) is not bool(ties)


def test_an_error_explains_only_so_much():
    assert compared(detections(SQUARES[:1], (1,), (0.9,)), tie=0.5).wrong


@pytest.mark.parametrize(("dtype", "same"), [("bf16", 2), ("fp16", 0), ("fp32", 0)])
def test_coordinates_may_be_off_by_what_their_type_rounds(dtype, same):
    off = SQUARES + torch.tensor([0.005, 0, 0.005, 0])
    assert compared(detections(off), rounding=rounding(dtype)).same == same


def test_rows_are_put_beside_the_nearest():
    torch.manual_seed(0)
    expected = torch.randn(20, 9)
    order = torch.randperm(20)
    assert torch.equal(align(expected, expected[order]), expected)
    defect = expected.clone()
    defect[3, 5] += 1
    assert float((align(expected, defect[order]) - expected).abs().max()) == pytest.approx(1)
    empty = torch.full_like(expected, float("nan"))
    assert align(expected, empty) is empty


def test_a_query_that_answers_twice_leaves_another_without_an_answer():
    expected = torch.eye(4)
    assert float((align(expected, expected[[0, 0, 2, 3]]) - expected).abs().max()) == 1


def test_what_is_there_is_found_or_not():
    true = detections()
    assert right(true, detections(SQUARES + 0.02))
    assert not right(true, detections(SQUARES + 0.4))
    assert not right(true, detections(labels=(1, 1)))
    assert not right(true, detections(SQUARES[:1], (1,), (0.9,)))
    assert not right(true, detections(torch.cat([SQUARES, SQUARES[:1]]), (1, 2, 1), (0.9, 0.8, 0.7)))


def test_the_right_objects_are_demanded_where_the_baseline_is_exact():
    same = compared(detections())
    assert judge_boxes([same, same], 0.0, [True, False], must_be_right=True).status == "fail"
    check = judge_boxes([same, same], 0.0, [True, False], must_be_right=False)
    assert check.status == "pass"
    assert check.metrics["right"] == 0.5


def test_a_baseline_that_finds_nothing_proves_nothing():
    nothing = detections(torch.zeros(0, 4), (), ())
    check = verdict(compared(Detections(*(value[:0] for value in (nothing.scores, nothing.labels, nothing.boxes))), nothing))
    assert check.status == "inconclusive"
