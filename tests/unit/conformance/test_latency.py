"""Sessions take turns, the first turn does not count, and ratios pair turns of one block."""

import statistics
from types import SimpleNamespace

import pytest

from conformance import latency

TOKENS = list(range(20))
PROMPT = 8
COLD = 1000.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sessions move."""
    state = SimpleNamespace(now=0.0, calls=[])
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: state.now))
    return state


@pytest.fixture
def session(clock):
    """A session that takes ``prefill[block]`` and ``decode[block]`` seconds a call; block 0 is the warm-up. The first call of
    each turn takes longer."""

    class Timed:
        max_seq_len = 32

        def __init__(self, name, *, prefill, decode):
            self.name, self.prefill, self.decode = name, prefill, decode
            self.resets = 0

        def reset(self):
            self.resets += 1
            clock.calls.append((self.name, "reset", []))

        def forward(self, tokens, position):
            clock.calls.append((self.name, position, tokens[0].tolist()))
            turn, counts = divmod(self.resets - 1, 1 + latency.PREFILLS)
            clock.now += (self.decode if position else self.prefill)[turn] + (0 if counts else COLD)

    return Timed


@pytest.fixture
def measured(session):
    def run(eager, program, **options):
        sessions = {"eager": session("eager", **eager), "executorch": session("executorch", **program)}
        return latency.measure(sessions, TOKENS, prompt_tokens=PROMPT, **options)

    return run


EAGER = {"prefill": [99.0, 4.0, 6.0, 8.0], "decode": [99.0, 2.0, 3.0, 4.0]}
PROGRAM = {"prefill": [77.0, 2.0, 1.0, 8.0], "decode": [77.0, 1.0, 0.5, 4.0]}


def test_medians_are_those_of_the_blocks_after_the_warm_up(measured):
    found = measured(EAGER, PROGRAM, blocks=3)
    for name, costs in (("eager", EAGER), ("executorch", PROGRAM)):
        assert found[name]["prefill_ms"] == pytest.approx(1e3 * statistics.median(costs["prefill"][1:]))
        assert found[name]["decode_tokens_per_second"] == pytest.approx(1 / statistics.median(costs["decode"][1:]))


def test_the_better_quartile_is_a_quarter_of_the_way_from_the_fastest_block(measured):
    costs = {"prefill": [99.0, 5.0, 1.0, 3.0, 2.0, 4.0], "decode": [99.0, 0.5, 0.1, 0.3, 0.2, 0.4]}
    found = measured(costs, costs, blocks=5)["executorch"]
    assert found["prefill_ms_p25"] == pytest.approx(2e3)
    assert found["decode_tokens_per_second_p25"] == pytest.approx(5)


def test_a_speedup_is_the_median_of_the_ratios_within_each_block(measured):
    found = measured(EAGER, PROGRAM, blocks=3)["executorch"]
    pairs = [list(zip(EAGER[name][1:], PROGRAM[name][1:], strict=True)) for name in ("prefill", "decode")]
    ratios = [statistics.median(first / second for first, second in blocks) for blocks in pairs]
    assert [found["prefill_speedup"], found["decode_speedup"]] == pytest.approx(ratios)
    assert found["decode_speedup"] != pytest.approx(3 / 1)  # the ratio of the medians


def test_eager_is_not_compared_with_itself(measured):
    assert not [name for name in measured(EAGER, PROGRAM, blocks=3)["eager"] if "speedup" in name]


def test_each_block_takes_the_order_opposite_to_the_one_before(measured, clock):
    measured(EAGER, PROGRAM, blocks=3)
    order = [name for name, what, _ in clock.calls if what == "reset"]
    assert order[:: 1 + latency.PREFILLS] == ["eager", "executorch", "executorch", "eager"] * 2


def test_a_turn_is_a_call_that_does_not_count_prefills_and_single_token_steps_after_them(measured, clock):
    found = measured(EAGER, PROGRAM, blocks=3, decode_tokens=3)
    block = [(what, tokens) for name, what, tokens in clock.calls if name == "eager"][:11]
    prefill = [("reset", []), (0, TOKENS[:8])]
    assert block == [*prefill * (1 + latency.PREFILLS), (8, [8]), (9, [9]), (10, [10])]
    assert (found["prompt_tokens"], found["decode_tokens"], found["blocks"]) == (PROMPT, 3, 3)


def test_no_more_tokens_are_decoded_than_the_sequence_has(measured, clock):
    assert measured(EAGER, PROGRAM, blocks=3, decode_tokens=99)["decode_tokens"] == len(TOKENS) - PROMPT
    assert max(what for _, what, _ in clock.calls if what != "reset") == len(TOKENS) - 1


def test_loads_take_turns_and_are_told_in_milliseconds(clock):
    turns = []

    def action(name, costs):
        def run():
            turns.append(name)
            clock.now += next(costs)

        return run

    found = latency.measure_loads({"a": action("a", iter([5.0, 1.0, 2.0])), "b": action("b", iter([1.0, 1.0, 4.0]))})
    assert turns == ["a", "b", "b", "a", "a", "b"]
    assert (found["a"]["load_ms"], found["b"]["load_ms"]) == (2000.0, 1000.0)
    assert found["a"]["load_ms_p25"] == 1500.0


def test_the_samples_are_the_seconds_of_each_block_in_turn(measured):
    samples = measured(EAGER, PROGRAM, blocks=3)["samples"]
    for name, costs in (("eager", EAGER), ("executorch", PROGRAM)):
        assert samples["prefill"][name] == pytest.approx(costs["prefill"][1:])
        assert samples["decode"][name] == pytest.approx(costs["decode"][1:])


def test_a_sample_of_decoding_does_not_see_one_step_that_was_interrupted(clock):
    class Interrupted:
        def reset(self):
            pass

        def forward(self, tokens, position):
            clock.now += 50.0 if position == PROMPT + 3 else 1.0

    found = latency.measure({"eager": Interrupted()}, TOKENS, prompt_tokens=PROMPT, blocks=2)
    assert found["samples"]["decode"]["eager"] == [1.0, 1.0]
    assert found["eager"]["decode_tokens_per_second"] < 0.5


def test_what_is_compared_with_may_be_another_session_than_eager(session):
    sessions = {"before": session("before", **EAGER), "after": session("after", **PROGRAM)}
    found = latency.measure(sessions, TOKENS, prompt_tokens=PROMPT, blocks=3, against="before")
    assert found["after"]["prefill_speedup"] == 2.0
    assert not [name for name in found["before"] if "speedup" in name]


def test_calls_of_one_pass_take_turns_and_the_first_of_a_turn_does_not_count(clock):
    class Timed:
        def __init__(self, name, seconds):
            self.name, self.seconds, self.before = name, seconds, None

        def infer(self, inputs):
            cold = not clock.calls or clock.calls[-1] != self.name
            clock.calls.append(self.name)
            clock.now += self.seconds + (COLD if cold else 0)

    found = latency.measure_inference({"eager": Timed("eager", 4.0), "executorch": Timed("executorch", 2.0)}, {}, blocks=2)
    assert found["samples"]["infer"] == {"eager": [4.0, 4.0], "executorch": [2.0, 2.0]}
    assert found["executorch"]["infer_speedup"] == 2.0
    turns = [name for index, name in enumerate(clock.calls) if index == 0 or clock.calls[index - 1] != name]
    assert turns == ["eager", "executorch", "eager", "executorch"]
