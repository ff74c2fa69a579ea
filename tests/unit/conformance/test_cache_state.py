"""Every way of feeding is tried, and each kind of wrong cache is caught."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.compare.cache_state import Known, another, check_cache_state, feeds, fill
from conformance.compare.tolerance import BF16, DYNAMIC_ACTIVATIONS, EXACT, FP16, INT8_CACHE, Tolerance
from conformance.sessions.protocol import SessionError

LENGTH, WINDOW = 16, 4
TOKENS = [(7 * index + index // 3) % 16 for index in range(LENGTH)]
OTHER = [5, 3, 2, 11, 13]


@pytest.fixture
def check(expected_logits):
    def run(session, *, scale=1.0, tolerance=EXACT, one_token=False):
        return check_cache_state(
            session,
            Known(torch.tensor([TOKENS]), expected_logits(TOKENS) * scale),
            Known(torch.tensor([OTHER]), expected_logits(OTHER) * scale),
            window=WINDOW,
            tolerance=tolerance,
            one_token=one_token,
        )

    return run


@pytest.mark.parametrize(("length", "window"), [(16, 4), (64, 16), (128, 63), (9, 4)])
def test_lengths_around_every_boundary_are_fed_in_one_call(length, window):
    lengths = {way.chunks[0] for way in feeds(length, window) if len(way.chunks) == 1}
    assert lengths >= {1, 2, window - 1, window, window + 1, 2 * window, length - 1, length}


@pytest.mark.parametrize(("length", "window"), [(16, 4), (64, 16), (64, None), (64, 512)])
def test_the_whole_sequence_is_also_fed_token_by_token_and_in_chunks(length, window):
    whole = [way.chunks for way in feeds(length, window) if sum(way.chunks) == length]
    assert (1,) * length in whole
    assert (1, length - 1) in whole
    assert any(max(chunks) > 1 and len(chunks) > 3 for chunks in whole)


@given(st.integers(2, 70), st.none() | st.integers(1, 90))
@settings(deadline=None)
def test_no_feed_is_empty_or_longer_than_the_cache(length, window):
    for way in feeds(length, window):
        assert min(way.chunks) >= 1
        assert sum(way.chunks) <= length


def test_feeds_are_the_same_each_time():
    assert feeds(64, 16) == feeds(64, 16)


def test_feeds_have_names_of_their_own():
    names = [way.name for way in feeds(64, 16)]
    assert len(set(names)) == len(names)


def test_a_sound_session_passes(check, fake_session):
    found = check(fake_session(LENGTH))
    assert (found.status, found.metrics["window"]) == ("pass", WINDOW)
    assert {way["max_abs_error"] for way in found.metrics["worst_by_way"].values()} == {0.0}
    assert found.metrics["lengths"] == list(range(1, LENGTH + 1))
    assert str(LENGTH + 1) in found.metrics["refusal"]


def test_a_stale_token_after_reset_is_caught(check, fake_session):
    class Stale(fake_session):
        def reset(self):
            self.states = self.states[-1:]

    found = check(Stale(LENGTH))
    assert found.status == "fail"
    assert "another sequence after reset" in found.message


def test_what_is_left_of_a_sequence_is_caught_in_another_one(check, fake_session):
    class Leaking(fake_session):
        seen = False

        def forward(self, tokens, position):
            logits = super().forward(tokens, position)
            self.seen = self.seen or len(self.states) > LENGTH
            return logits + (self.seen and tokens[0].tolist() == OTHER)

    found = check(Leaking(LENGTH))
    assert found.status == "fail"
    assert found.message.startswith("another sequence after reset")
    assert ";" not in found.message


def test_one_token_too_many_must_be_refused(check, fake_session):
    session = fake_session(LENGTH)
    session.capacity = LENGTH + 1
    found = check(session)
    assert (found.status, found.metrics["refusal"]) == ("fail", None)
    assert f"{LENGTH + 1} tokens were accepted by a cache of {LENGTH}" in found.message


def test_a_chunk_that_does_not_see_the_token_before_it_is_caught(check, fake_session):
    class Blind(fake_session):
        def forward(self, tokens, position):
            if position > 0 and tokens.shape[1] > 1:
                self.states[position] = self.states[position - 1]
            return super().forward(tokens, position)

    found = check(Blind(LENGTH))
    assert found.status == "fail"
    assert "1, then the rest" in found.message
    assert "token by token:" not in found.message


def test_a_ring_that_a_longer_chunk_overruns_is_caught(check, fake_session):
    class Overrun(fake_session):
        def forward(self, tokens, position):
            logits = super().forward(tokens, position)
            if position > 0 and tokens.shape[1] > WINDOW + 1:
                logits[0] += 1
            return logits

    assert "1, then the rest" in check(Overrun(LENGTH)).message


def test_a_decode_step_that_is_wrong_past_the_window_is_caught_at_its_position(check, fake_session):
    class PastTheWindow(fake_session):
        def forward(self, tokens, position):
            return super().forward(tokens, position) + (position == WINDOW)

    found = check(PastTheWindow(LENGTH))
    assert f"first at position {WINDOW}" in found.message


def test_a_refused_call_that_leaves_something_behind_is_caught(check, fake_session):
    class Poisoned(fake_session):
        poisoned = False

        def forward(self, tokens, position):
            try:
                return super().forward(tokens, position) + self.poisoned
            except SessionError:
                self.poisoned = True
                raise

    found = check(Poisoned(LENGTH))
    assert found.status == "fail"
    assert found.message.startswith("after a refused call")


def test_a_logit_that_is_not_a_number_fails(check, fake_session):
    class NotANumber(fake_session):
        def forward(self, tokens, position):
            logits = super().forward(tokens, position)
            logits[-1, 0] = math.nan
            return logits

    assert check(NotANumber(LENGTH)).status == "fail"


ROUNDING = {"fp16": FP16, "bf16": BF16, "int8 cache": INT8_CACHE, "dynamic activations": DYNAMIC_ACTIVATIONS}


@pytest.mark.parametrize("name", ROUNDING)
def test_only_a_program_that_rounds_is_judged_by_its_relative_error(check, fake_session, name):
    tolerance = ROUNDING[name]
    within, beyond = 1 + 0.9 * tolerance.relative, 1 + 1.1 * tolerance.relative
    assert check(fake_session(LENGTH), scale=1 / within, tolerance=tolerance).status == "pass"
    assert check(fake_session(LENGTH), scale=1 / beyond, tolerance=tolerance).status == "fail"
    assert check(fake_session(LENGTH), scale=1 / within).status == "fail"
    assert check(fake_session(LENGTH), scale=1 / (1 + 1e-5)).status == "pass"


@pytest.mark.parametrize("name", ROUNDING)
def test_ways_of_feeding_may_differ_less_than_from_the_baseline(check, fake_session, name):
    tolerance = ROUNDING[name]

    class Differing(fake_session):
        factor = 1.0

        def forward(self, tokens, position):
            return super().forward(tokens, position) * (self.factor if position else 1)

    session = Differing(LENGTH)
    session.factor = 1 + 0.9 * tolerance.fed
    assert check(session, tolerance=tolerance).status == "pass"
    session.factor = 1 + 1.1 * tolerance.fed
    found = check(session, tolerance=Tolerance(relative=1.0, fed=tolerance.fed))
    assert found.status == "fail"
    assert "token by token" in found.message
    assert "another sequence after reset" not in found.message


def test_a_program_of_one_token_a_call_is_fed_the_lengths_at_its_boundaries(check, fake_session):
    found = check(fake_session(LENGTH), one_token=True)
    assert found.status == "pass"
    assert found.metrics["lengths"] == [1, 2, WINDOW - 1, WINDOW, WINDOW + 1, 2 * WINDOW, LENGTH - 1, LENGTH]
    assert set(found.metrics["worst_by_way"]) == set(check(fake_session(LENGTH)).metrics["worst_by_way"])


def test_a_program_that_rounds_and_has_tiny_logits_gets_a_verdict(check, fake_session):
    class Tiny(fake_session):
        def forward(self, tokens, position):
            return super().forward(tokens, position) * 2e-5

    assert check(Tiny(LENGTH), scale=1e-5, tolerance=DYNAMIC_ACTIVATIONS).status == "fail"


@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=4), st.integers(1, 40))
def test_fill_repeats_the_sequences_from_the_longest_on(sequences, length):
    found = fill(sequences, length)
    cycle = [token for sequence in sorted(sequences, key=len, reverse=True) for token in sequence]
    assert found == [cycle[index % len(cycle)] for index in range(length)]


@pytest.mark.parametrize("sequences", [[[1, 2], [3, 4]], [[1, 2, 3], [4, 5]], [[4, 5], [1, 2, 3]], [[1], [2], [3]]])
def test_the_other_sequence_is_not_the_one_that_fills_the_cache(sequences):
    other = sequences[another(sequences)]
    assert fill(sequences, len(other)) != other
