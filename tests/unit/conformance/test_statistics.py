"""The statistics of paired measurements: what they put aside, and what their intervals hold, on noise like that of the machines
they were made for. How often the gate is wrong with them: ``tests/faults/test_false_alarms.py``."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.gate_noise import MEASURED
from conformance import statistics
from conformance.statistics import Comparison, Launch


def side(generator, count, *, slower=0.0, **noise):
    """Launches with noise as measured, but for what is said otherwise."""
    return dataclasses.replace(MEASURED, **noise).launches(generator, count, slower)


def test_a_launch_is_the_ratio_of_the_fastest_steps_whatever_the_slow_ones_took():
    quiet = statistics.launch([1e-3, 1.1e-3], [1e-4, 1.1e-4])
    assert quiet.ratio == pytest.approx(math.log(0.1))
    assert statistics.launch([1e-3, 9e-3, 5e-3], [7e-4, 1e-4, 9e-4]) == quiet
    with pytest.raises(ValueError, match="empty"):
        statistics.launch([], [])


def test_a_comparison_is_yuens():
    """scipy has Yuen's test for trimmed means, with Welch's degrees of freedom; with as many launches on both sides and nothing
    assumed beforehand, the errors are the same."""
    generator = np.random.default_rng(1)
    first, second = (generator.standard_normal(12) for _ in range(2))
    found = statistics.compare(*([Launch(ratio, 1.0) for ratio in each] for each in (first, second)), launch_sd=0.0)
    expected = stats.ttest_ind(second, first, trim=statistics.TRIM, equal_var=False)
    freedom = 2 * (12 - 2 * 3 - 1)
    error = found.error * math.sqrt(found.freedom / freedom)
    assert found.log_ratio / error == pytest.approx(expected.statistic)


def test_a_side_without_launches_cannot_be_compared():
    assert statistics.compare([Launch(0.0, 1.0)], []) is None
    assert statistics.compare([], []) is None


def test_a_quarter_of_the_launches_may_be_off_by_any_amount():
    calm = [Launch(0.01 * index, 1.0) for index in range(8)]
    off = [*calm[:6], Launch(5.0, 1.0), Launch(-7.0, 1.0)]
    found = statistics.compare(calm, off)
    assert abs(found.log_ratio) < 0.02
    assert found.error < 0.05


def test_launches_with_a_slow_reference_do_not_count_and_slow_programs_do():
    calm = [Launch(0.001 * index, 1.0 + 0.001 * index) for index in range(6)]
    found = statistics.compare(calm, [*calm, *[Launch(-1.0, 1.2)] * 20])
    assert found == statistics.compare(calm, calm)
    slow = [Launch(each.ratio + 1.0, each.reference) for each in calm]
    assert statistics.compare(calm, slow).log_ratio == pytest.approx(1.0)


def test_one_process_is_no_evidence_of_how_far_processes_are_apart():
    found = statistics.compare([Launch(-1.0, 1.0)], [Launch(-1.0, 1.0)])
    assert found.error == pytest.approx(math.sqrt(2) * statistics.LAUNCH_SD)
    assert found.freedom == statistics.LAUNCH_SD_WEIGHT


def test_more_launches_make_it_surer():
    generator = np.random.default_rng(5)
    errors = [statistics.compare(side(generator, count), side(generator, count)).error for count in (4, 16, 64)]
    assert errors[0] > 1.5 * errors[1] > 1.5**2 * errors[2]


@pytest.mark.parametrize("launches", [(2, 3), (5, 5), (8, 15)])
def test_intervals_hold_what_they_promise_with_few_launches(launches):
    generator = np.random.default_rng(6)
    rounds, missed = 400, 0
    for _ in range(rounds):
        found = statistics.compare(*(side(generator, count, busy=0) for count in launches))
        interval = found.interval(0.05)
        missed += not interval.low <= 1 <= interval.high
    assert missed / rounds < 0.10 + 2.5 * math.sqrt(0.1 * 0.9 / rounds)


def test_one_side_is_compared_with_its_own_reference():
    generator = np.random.default_rng(8)
    found = statistics.compare(side(generator, 10, slower=0.2, busy=0))
    assert found.log_ratio == pytest.approx(math.log(1.2) - 1, abs=4 * found.error)


def test_an_interval_is_said_in_percent():
    assert str(statistics.Interval(1.1, 1.05, 1.152)) == "+10.0% (+5.0% to +15.2%)"


def test_discoveries_are_those_of_scipy():
    generator = np.random.default_rng(9)
    for _ in range(50):
        values = {str(index): p for index, p in enumerate(generator.uniform(size=12) ** 3)}
        adjusted = stats.false_discovery_control(list(values.values()))
        expected = {name for name, p in zip(values, adjusted, strict=True) if p <= 0.05}
        assert statistics.discoveries(values, 0.05)[0] == expected
    assert statistics.discoveries({}, 0.05) == (frozenset(), 0.05)


def test_the_intervals_of_what_is_slower_lie_beyond_the_margin_as_a_whole():
    found = {str(index): Comparison(0.02 * index, 0.02, 12.0, (5, 5)) for index in range(10)}
    names, alpha = statistics.discoveries({name: each.p_slower(0.05) for name, each in found.items()}, 0.05)
    assert 0 < len(names) < len(found)
    for name, each in found.items():
        assert (each.interval(alpha).low > 1.05) == (name in names)


def test_many_comparisons_of_nothing_raise_hardly_more_alarms_than_one():
    generator = np.random.default_rng(10)
    alarms, one_by_one = 0, 0
    for _ in range(200):
        ratios = 0.02 * generator.standard_t(12, size=100)
        found = {str(index): Comparison(ratio, 0.02, 12.0, (5, 5)) for index, ratio in enumerate(ratios)}
        alarms += bool(statistics.discoveries({name: each.p_slower(0.0) for name, each in found.items()}, 0.05)[0])
        one_by_one += any(each.p_slower(0.0) < 0.05 for each in found.values())
    assert alarms / 200 < 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 200)
    assert one_by_one > 190
