"""The figures are the formulas', and each verdict turns at its threshold."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from conformance.compare import logits
from conformance.compare.tolerance import BF16, DYNAMIC_ACTIVATIONS, EXACT, FP16, INT8_CACHE, MAX_ABS_ERROR

ROUNDING = (FP16, BF16, INT8_CACHE, DYNAMIC_ACTIVATIONS)
SHAPES = array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=8)
VALUES = st.floats(-20, 20, width=32)


@st.composite
def pairs(draw):
    """Two sets of logits of one shape; the reference is not zero."""
    shape = draw(SHAPES)
    reference = draw(arrays(np.float64, shape, elements=VALUES))
    reference[0, 0] += 25
    return reference, draw(arrays(np.float64, shape, elements=VALUES))


def compared(reference, candidate):
    return logits.compare_logits(torch.from_numpy(reference), torch.from_numpy(candidate))


def softmax(values):
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def best(row, count):
    return sorted(range(len(row)), key=lambda index: -row[index])[:count]


@given(pairs())
@settings(deadline=None, max_examples=50)
def test_errors_are_the_largest_difference_and_the_ratio_of_norms(pair):
    reference, candidate = pair
    found = compared(reference, candidate)
    assert found.max_abs_error == max(abs(a - b) for a, b in zip(candidate.flat, reference.flat, strict=True))
    ratio = math.sqrt(sum((candidate - reference).ravel() ** 2)) / math.sqrt(sum(reference.ravel() ** 2))
    assert found.relative_error == pytest.approx(ratio)
    assert found.reference_magnitude == max(map(abs, reference.flat))
    assert found.positions == len(reference)


@given(pairs())
@settings(deadline=None, max_examples=50)
def test_sqnr_is_ten_log10_of_signal_over_noise_energy(pair):
    reference, candidate = pair
    noise = ((candidate - reference) ** 2).sum()
    expected = min(200, 10 * math.log10((reference**2).sum() / noise)) if noise > 0 else 200
    assert compared(reference, candidate).sqnr_db == pytest.approx(expected)


@given(pairs())
@settings(deadline=None, max_examples=50)
def test_kl_is_the_divergence_of_the_softmax_distributions(pair):
    p, q = map(softmax, pair)
    divergences = np.maximum((p * np.log(p / q)).sum(axis=1), 0)
    found = compared(*pair)
    assert found.kl_mean == pytest.approx(divergences.mean(), abs=1e-9)
    assert found.kl_p99 == pytest.approx(np.quantile(divergences, 0.99), abs=1e-9)


@given(st.integers(2, 9).flatmap(lambda n: st.lists(st.tuples(*[st.permutations(range(n))] * 2), min_size=1)))
@settings(deadline=None, max_examples=50)
def test_top1_and_top5_are_shares_of_agreeing_positions(rows):
    reference, candidate = (np.array([row[side] for row in rows], dtype=float) for side in (0, 1))
    found = compared(reference, candidate)
    assert found.top1 == pytest.approx(np.mean([best(a, 1) == best(b, 1) for a, b in rows]))
    count = min(5, reference.shape[1])
    assert found.top5 == pytest.approx(np.mean([len({*best(a, count)} & {*best(b, count)}) / count for a, b in rows]))


@given(pairs())
@settings(deadline=None, max_examples=20)
def test_equal_logits_agree_perfectly(pair):
    found = compared(pair[0], pair[0])
    assert (found.max_abs_error, found.relative_error, found.sqnr_db, found.kl_mean, found.top1, found.top5) == (
        *(0, 0, 200, 0),
        *(1, 1),
    )


@pytest.mark.parametrize(("first", "second"), [((2, 3), (3, 2)), ((2, 3), (2, 4)), ((3,), (3,)), ((1, 2, 3),) * 2])
def test_shapes_that_differ_or_are_no_matrix_are_refused(first, second):
    with pytest.raises(ValueError, match="shapes"):
        logits.compare_logits(torch.zeros(first), torch.zeros(second))


@pytest.fixture
def comparison():
    values = torch.arange(12.0).reshape(3, 4)
    return logits.compare_logits(values, values)


@pytest.fixture(params=["reference", "candidate"])
def not_a_number(request):
    sound, broken = torch.ones(2, 8), torch.ones(2, 8)
    broken[1, 3] = math.nan
    return logits.compare_logits(*((broken, sound) if request.param == "reference" else (sound, broken)))


def test_a_logit_that_is_not_a_number_fails_every_verdict(not_a_number):
    for tolerance in (EXACT, *ROUNDING):
        for trained in (True, False):
            assert logits.judge_logits(not_a_number, tolerance, trained=trained).status == "fail"
    assert logits.judge_quality(not_a_number, 1.0, judged=True).status == "fail"
    assert logits.judge_quality(not_a_number, 1.0, judged=False).status == "fail"


def test_a_logit_that_is_not_a_number_is_not_shown_as_noise_free(not_a_number):
    assert not not_a_number.sqnr_db >= 200


def test_an_infinite_logit_fails_every_verdict():
    broken = torch.ones(2, 8)
    broken[0, 0] = math.inf
    found = logits.compare_logits(torch.ones(2, 8), broken)
    for tolerance in (EXACT, *ROUNDING):
        assert logits.judge_logits(found, tolerance).status == "fail"


@pytest.mark.parametrize(
    ("error", "status"),
    [(MAX_ABS_ERROR, "pass"), (math.nextafter(MAX_ABS_ERROR, 1), "fail"), (math.nan, "fail")],
)
def test_an_exact_program_may_err_up_to_the_limit(comparison, error, status):
    assert logits.judge_logits(dataclasses.replace(comparison, max_abs_error=error), EXACT).status == status


@pytest.mark.parametrize("tolerance", ROUNDING)
@pytest.mark.parametrize(("top1", "status"), [(logits.TOP1_ROUNDED, "pass"), (math.nextafter(logits.TOP1_ROUNDED, 0), "fail")])
def test_a_program_that_rounds_must_choose_the_same_token_often_enough(comparison, tolerance, top1, status):
    assert logits.judge_logits(dataclasses.replace(comparison, top1=top1), tolerance).status == status


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("tolerance", ROUNDING)
def test_a_program_that_rounds_may_err_up_to_its_limit(comparison, tolerance, trained):
    beyond = math.nextafter(tolerance.relative, 1)
    for error, status in ((tolerance.relative, "pass"), (beyond, "fail"), (math.nan, "fail")):
        found = logits.judge_logits(dataclasses.replace(comparison, relative_error=error), tolerance, trained=trained)
        assert found.status == status
        assert f"at most {tolerance.relative}" in found.message


@pytest.mark.parametrize(
    ("top1", "judged", "status"),
    [
        (logits.TOP1_QUALITY, True, "pass"),
        (math.nextafter(logits.TOP1_QUALITY, 0), True, "fail"),
        (0.0, False, "pass"),
    ],
)
def test_quality_is_judged_where_it_means_something(comparison, top1, judged, status):
    found = logits.judge_quality(dataclasses.replace(comparison, top1=top1), 1.0, judged=judged)
    assert found.status == status
    assert ("not judged here" in found.message) == (not judged)


def test_a_verdict_carries_the_figures_it_rests_on(comparison):
    figures = {field.name for field in dataclasses.fields(comparison)} - {"error_by_position"}
    for tolerance in (EXACT, *ROUNDING):
        assert logits.judge_logits(comparison, tolerance).metrics.keys() == figures
    quality = logits.judge_quality(comparison, 0.25, judged=True)
    assert quality.metrics.keys() == figures | {"prompts_answered_alike"}
    assert "25%" in quality.message


def test_random_weights_are_judged_by_relative_error_not_by_agreement():
    reference = torch.tensor([[1.0, 0.999, -5.0], [0.999, 1.0, -5.0]])
    swapped = logits.compare_logits(reference, reference[:, [1, 0, 2]])
    assert swapped.top1 == 0.0
    for tolerance in ROUNDING:
        beyond = reference * (1.05 + tolerance.relative)

        def status(candidate, *, trained=False, tolerance=tolerance):
            return logits.judge_logits(logits.compare_logits(reference, candidate), tolerance, trained=trained).status

        assert status(reference[:, [1, 0, 2]], trained=True) == "fail"
        assert status(reference[:, [1, 0, 2]]) == "pass"
        assert status(beyond) == status(reference * math.nan) == "fail"


def test_the_error_is_told_position_by_position():
    reference = torch.zeros(3, 4)
    candidate = torch.tensor([[0.0, 0, 0, 0], [0, -0.123456, 0.1, 0], [math.nan, 0, 0, 0]])
    first, second, third = logits.compare_logits(reference, candidate).error_by_position
    assert (first, second) == (0.0, 0.123)
    assert math.isnan(third)
