"""The statistics of paired measurements: what they put aside, and how often they are wrong, on noise like that of the machines
they were made for."""

import math

import numpy as np
import pytest
from scipy import stats

from conformance import gate, statistics
from conformance.statistics import Comparison, Noise

PAIR_SD, LAUNCH_SD = 0.05, 0.02
"""As measured on a quiet machine, rounded up (docs/gate.md)."""
CONTENTION = math.log(1.9), math.log(1.5)
"""What another process on the core does to eager PyTorch and to a program, likewise."""


def noisy(generator, *, slower=0.0, blocks=16, busy=0.1, launch_sd=LAUNCH_SD):
    """A launch: drift that blocks have in common, noise of each block, an effect of the launch, and at times a busy machine."""
    drift = np.zeros(blocks)
    for block in range(1, blocks):
        drift[block] = 0.9 * drift[block - 1] + 0.03 * generator.standard_normal()
    contended = CONTENTION if generator.random() < busy else (0.0, 0.0)
    eager = drift + 0.05 * generator.standard_normal(blocks) + contended[0]
    effect = launch_sd * generator.standard_t(6) / math.sqrt(1.5)
    program = drift + 0.05 * generator.standard_normal(blocks) + contended[1] + effect + math.log1p(slower) - 1
    return statistics.launch(np.exp(eager), np.exp(program))


def side(generator, count, **options):
    return [noisy(generator, **options) for _ in range(count)]


def test_a_pair_has_no_drift_and_does_not_know_who_came_first():
    first = [1.0, 1.03, 1.04, 1.07]  # time passes: E P P E E P P E, each turn 1 % slower than the one before
    second = [1.01, 1.02, 1.05, 1.06]
    found = statistics.launch([math.exp(each) for each in first], [math.exp(each) for each in second])
    assert found.ratios == pytest.approx([0.0, 0.0], abs=1e-12)
    assert found.reference == pytest.approx([math.exp(1.03), math.exp(1.07)])


def test_a_block_without_its_other_is_left_out():
    assert len(statistics.launch([1.0] * 5, [1.0] * 5).ratios) == 2


def test_what_a_busy_machine_did_is_put_aside():
    generator = np.random.default_rng(1)
    calm = side(generator, 6, busy=0)
    mixed = [*side(generator, 6, busy=0), *side(generator, 6, busy=1)]
    found = statistics.compare(calm, mixed)
    assert found.launches[0] == 6
    assert found.launches[1] in (4, 5, 6)  # the busy ones are out
    assert abs(found.log_ratio) < 3 * found.error
    shift = CONTENTION[1] - CONTENTION[0]
    everything = np.mean([ratio for launch in mixed for ratio in launch.ratios])
    assert everything - np.mean([ratio for launch in calm for ratio in launch.ratios]) < shift / 3  # it would have counted


def test_where_nothing_was_quiet_it_is_said_how_busy_it_was():
    generator = np.random.default_rng(2)
    found = statistics.compare(side(generator, 5, busy=0), side(generator, 5, busy=1))
    assert isinstance(found, Noise)
    assert found.slowdowns[1] == pytest.approx(1.9, rel=0.15)
    assert isinstance(statistics.compare([], []), Noise)


def test_few_quiet_pairs_among_many_are_not_believed():
    generator = np.random.default_rng(3)
    hardly = [*side(generator, 1, busy=0), *side(generator, 7, busy=1)]
    assert isinstance(statistics.compare(side(generator, 5, busy=0), hardly), Noise)


def test_one_process_is_no_evidence_of_how_far_processes_are_apart():
    """However many blocks it has: the interval of two launches cannot be narrower than launches are apart."""
    generator = np.random.default_rng(4)
    few, many = (
        statistics.compare(*(side(generator, 1, blocks=blocks, busy=0) for _ in range(2))).error for blocks in (16, 2000)
    )
    assert math.sqrt(2) * statistics.LAUNCH_SD < many < few


def test_more_launches_make_it_surer():
    generator = np.random.default_rng(5)
    errors = [statistics.compare(side(generator, count), side(generator, count)).error for count in (3, 12, 48)]
    assert errors[0] > 1.5 * errors[1] > 1.5**2 * errors[2]


@pytest.mark.parametrize("launches", [(2, 3), (5, 5), (8, 15)])
def test_intervals_hold_what_they_promise_with_few_launches(launches):
    generator = np.random.default_rng(6)
    rounds, missed = 100, 0
    for _ in range(rounds):
        found = statistics.compare(*(side(generator, count, busy=0) for count in launches))
        interval = found.interval(0.05)
        missed += not interval.low <= 1 <= interval.high
    assert missed / rounds < 0.10 + 2.5 * math.sqrt(0.1 * 0.9 / rounds)


def test_the_same_samples_give_the_same_figures():
    generator = np.random.default_rng(7)
    sides = side(generator, 4), side(generator, 4)
    assert statistics.compare(*sides) == statistics.compare(*sides)


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


def gatings(slower, count, seed, *, busy=0.1):
    """How many of ``count`` gatings of one timing end how, with launches that are drawn as the gate asks for them."""
    generator = np.random.default_rng(seed)
    ends = {"slower": 0, "same": 0, "faster": 0, "inconclusive": 0}
    for _ in range(count):
        timings = {("cell", "decode"): (side(generator, 8, busy=busy), side(generator, 1, slower=slower, busy=busy))}
        outcome, _ = gate.settle(timings, lambda _: {"decode": noisy(generator, slower=slower, busy=busy)})
        ends[outcome["cell", "decode"].kind] += 1
    return ends


def test_identical_artifacts_are_hardly_ever_called_slower():
    ends = gatings(0.0, 100, 11)
    assert ends["slower"] + ends["faster"] <= 1
    assert ends["same"] >= 95


def test_a_slowdown_of_a_tenth_is_nearly_always_found():
    ends = gatings(0.10, 100, 12)
    assert ends["slower"] >= 95


def test_a_busy_machine_makes_it_inconclusive_and_not_wrong():
    ends = gatings(0.0, 40, 13, busy=0.7)
    assert ends["slower"] + ends["faster"] == 0
    assert gatings(0.10, 20, 14, busy=1.0)["same"] == 0
