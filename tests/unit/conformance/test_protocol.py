"""A call that a runtime would answer wrongly is refused, naming the value and what is allowed."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conformance.sessions.protocol import SessionError, check_call


def refusal(tokens, position=0, *, fed=3, max_seq_len=8):
    with pytest.raises(SessionError) as caught:
        check_call(tokens, position, fed=fed, max_seq_len=max_seq_len)
    return str(caught.value)


@pytest.mark.parametrize("shape", [(3,), (2, 3), (1, 0), (0, 3), (1, 1, 3), ()])
def test_another_shape_is_refused(shape):
    message = refusal(torch.zeros(shape, dtype=torch.long))
    assert str(shape) in message
    assert "[1, n] with at least one token" in message


@pytest.mark.parametrize("dtype", [torch.int32, torch.float32, torch.bool], ids=str)
def test_another_type_is_refused(dtype):
    message = refusal(torch.zeros(1, 2, dtype=dtype))
    assert str(dtype) in message
    assert "int64" in message


def test_tokens_without_values_are_refused():
    message = refusal(torch.zeros(1, 2, dtype=torch.long, device="meta"))
    assert "meta" in message
    assert "on the CPU" in message


@pytest.mark.parametrize("position", [-1, 1.0, True, "0", None, torch.tensor(0)], ids=repr)
def test_a_position_that_is_no_whole_number_from_0_on_is_refused(position):
    message = refusal(torch.zeros(1, 2, dtype=torch.long), position)
    assert repr(position) in message
    assert "whole number from 0 on" in message


def test_a_gap_is_refused_with_the_position_to_continue_at():
    message = refusal(torch.zeros(1, 1, dtype=torch.long), 4, fed=3)
    assert "position 4" in message
    assert "Continue at 3, or reset" in message


def test_a_sequence_that_does_not_fit_is_refused_with_the_length_it_needs():
    message = refusal(torch.zeros(1, 6, dtype=torch.long), 3, max_seq_len=8)
    assert re.search(r"6 tokens from position 3 need 9 positions.* holds 8", message)
    assert "--max_seq_len 9" in message


@given(st.integers(1, 12), st.integers(0, 12), st.integers(0, 12), st.integers(1, 12))
def test_exactly_what_continues_or_replaces_and_fits_is_accepted(count, position, fed, max_seq_len):
    allowed = position <= fed and position + count <= max_seq_len
    try:
        check_call(torch.zeros(1, count, dtype=torch.long), position, fed=fed, max_seq_len=max_seq_len)
        accepted = True
    except SessionError:
        accepted = False
    assert accepted == allowed
