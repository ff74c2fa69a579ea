"""The greedy loop chooses the best token each time, and says why it stopped."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance.generate import generate
from conformance.sessions.protocol import SessionError

PROMPT = [3, 1, 4]


def greedy(expected_logits, prompt, count):
    """Tokens and margins from whole passes over the growing sequence."""
    tokens, margins = [], []
    for _ in range(count):
        ranked = sorted(expected_logits([*prompt, *tokens])[-1].tolist())
        tokens.append(expected_logits([*prompt, *tokens])[-1].tolist().index(ranked[-1]))
        margins.append(ranked[-1] - ranked[-2])
    return tokens, margins


@given(prompt=st.lists(st.integers(0, 15), min_size=1, max_size=6), count=st.integers(1, 10))
@settings(deadline=None, max_examples=30)
def test_each_token_is_the_best_after_the_whole_text_before_it(fake_session, expected_logits, prompt, count):
    said = generate(fake_session(16), prompt, max_new_tokens=count)
    tokens, margins = greedy(expected_logits, prompt, count)
    assert (said.prompt, said.tokens, said.stop) == (tuple(prompt), tuple(tokens), "length")
    assert said.margins == pytest.approx(margins)


def test_the_end_of_sequence_token_ends_the_text_and_belongs_to_it(fake_session, expected_logits):
    tokens, _ = greedy(expected_logits, PROMPT, 8)
    eos = tokens[4]
    first = tokens.index(eos)
    said = generate(fake_session(16), PROMPT, max_new_tokens=8, eos_ids={eos})
    assert (said.tokens, said.stop) == (tuple(tokens[: first + 1]), "eos")


def test_an_end_of_sequence_token_at_the_last_place_counts_as_the_end(fake_session, expected_logits):
    tokens, _ = greedy(expected_logits, PROMPT, 1)
    assert generate(fake_session(16), PROMPT, max_new_tokens=1, eos_ids=tokens).stop == "eos"


def test_a_full_cache_ends_the_text_after_the_token_its_last_position_predicts(fake_session, expected_logits):
    said = generate(fake_session(8), PROMPT, max_new_tokens=50)
    tokens, _ = greedy(expected_logits, PROMPT, 8 - len(PROMPT) + 1)
    assert (said.tokens, said.stop) == (tuple(tokens), "full")


def test_a_prompt_that_fills_the_cache_is_answered_with_one_token(fake_session):
    said = generate(fake_session(4), [1, 2, 3, 4], max_new_tokens=5)
    assert (len(said.tokens), said.stop) == (1, "full")


def test_the_last_token_is_not_fed(fake_session):
    fed = []

    class Counting(fake_session):
        def forward(self, tokens, position):
            fed.append(tokens.shape[1])
            return super().forward(tokens, position)

    generate(Counting(16), PROMPT, max_new_tokens=4)
    assert fed == [len(PROMPT), 1, 1, 1]


def test_what_was_fed_before_does_not_matter(fake_session):
    session = fake_session(16)
    session.forward(torch.tensor([[9, 9, 9]]), 0)
    assert generate(session, PROMPT, max_new_tokens=5) == generate(fake_session(16), PROMPT, max_new_tokens=5)


def test_each_token_is_handed_out_as_it_is_chosen(fake_session):
    seen, fed_when_seen = [], []
    session = fake_session(16)

    def on_token(token):
        seen.append(token)
        fed_when_seen.append(len(session.states) - 1)

    said = generate(session, PROMPT, max_new_tokens=4, on_token=on_token)
    assert tuple(seen) == said.tokens
    assert fed_when_seen == [3, 4, 5, 6]


@pytest.mark.parametrize(
    ("prompt", "message"), [([], "at least one token"), ([1] * 5, "the cache holds 4")], ids=["empty", "too long"]
)
def test_a_prompt_that_cannot_be_fed_is_refused(fake_session, prompt, message):
    with pytest.raises(SessionError, match=message):
        generate(fake_session(4), prompt, max_new_tokens=1)


@pytest.mark.parametrize("wrong_from", range(0, 13))
@pytest.mark.parametrize("limit", [1, 5, 12, 40])
def test_a_guess_changes_no_token_however_wrong_it_is(fake_session, wrong_from, limit):
    plain = generate(fake_session(16), [3, 1], max_new_tokens=limit)
    guess = [token if index < wrong_from else (token + 1) % 16 for index, token in enumerate(plain.tokens)]
    assert generate(fake_session(16), [3, 1], max_new_tokens=limit, guess=guess) == plain
    assert generate(fake_session(16), [3, 1], max_new_tokens=limit, guess=[*plain.tokens, 1, 2, 3]) == plain
