"""Divergences are found at their first token, and only two undecided choices make a near-tie."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.compare.tokens import compare_tokens, judge_tokens
from conformance.generate import Generation

TIE = 0.25


def said(*tokens, margins=None):
    return Generation(prompt=(1,), tokens=tokens, margins=margins or (1.0,) * len(tokens), stop="length")


TOKENS = st.lists(st.integers(0, 2), max_size=8)


@given(TOKENS, TOKENS)
def test_the_divergence_is_the_end_of_the_common_prefix(first, second):
    found = compare_tokens(said(*first), said(*second), tie=TIE)
    prefix = max(n for n in range(min(len(first), len(second)) + 1) if first[:n] == second[:n])
    assert found.equal == (first == second)
    assert found.diverged_at == (None if first == second else prefix)


@pytest.mark.parametrize(
    ("reference", "candidate", "near"),
    [
        (TIE, TIE, True),
        (TIE, math.nextafter(TIE, 1), False),
        (math.nextafter(TIE, 1), TIE, False),
        (0.0, 0.0, True),
        (math.nan, 0.0, False),
        (0.0, math.nan, False),
    ],
)
def test_a_near_tie_needs_both_margins_within_the_limit(reference, candidate, near):
    found = compare_tokens(said(3, 4, margins=(9.0, reference)), said(3, 5, margins=(9.0, candidate)), tie=TIE)
    assert found.near_tie is near


def test_the_margins_are_those_at_the_divergence():
    found = compare_tokens(said(3, 4, 6, margins=(1.0, 2.0, 3.0)), said(3, 5, 6, margins=(4.0, 5.0, 6.0)), tie=TIE)
    assert (found.reference_margin, found.candidate_margin) == (2.0, 5.0)


@pytest.mark.parametrize(("first", "second"), [((3, 4), (3,)), ((3,), (3, 4))])
def test_an_answer_that_ends_early_is_a_divergence_and_no_tie(first, second):
    found = compare_tokens(said(*first), said(*second), tie=math.inf)
    assert (found.equal, found.diverged_at, found.near_tie) == (False, 1, False)


EQUAL = compare_tokens(said(1), said(1), tie=TIE)
NEAR = compare_tokens(said(1, margins=(0.1,)), said(2, margins=(0.2,)), tie=TIE)
REAL = compare_tokens(said(1, margins=(7.125,)), said(2, margins=(0.2,)), tie=TIE)


@given(st.lists(st.sampled_from([EQUAL, NEAR, REAL]), min_size=1, max_size=5))
def test_only_a_real_divergence_fails(comparisons):
    assert judge_tokens(comparisons, against="eager").status == ("fail" if REAL in comparisons else "pass")


def test_the_message_counts_equal_answers_and_names_what_differs():
    message = judge_tokens([EQUAL, NEAR, REAL], against="eager-quantized").message
    assert "1 of 3 prompts answered with the tokens of eager-quantized" in message
    assert "prompt 1: near-tie at token 0" in message
    assert "prompt 2 diverges at token 0" in message
    assert "eager-quantized 7.125" in message


def test_the_message_says_which_answer_had_ended():
    ended = compare_tokens(said(1), said(1, 2), tie=TIE)
    assert "none, it ended" in judge_tokens([ended], against="eager").message


def test_no_logit_error_excuses_a_divergence_between_clear_choices():
    assert not compare_tokens(said(3, margins=(3.0,)), said(4, margins=(3.0,)), tie=10.0).near_tie
