"""Fakes that the unit tests share: a session whose logits are a pure function of the tokens, and records."""

import pytest
import torch

from conformance.record import Record
from conformance.sessions.protocol import check_call

VOCABULARY = 16
STATES = 997
TABLE = torch.randn(STATES, VOCABULARY, generator=torch.Generator().manual_seed(0))


def advance(state, token):
    """The state after one more token: every earlier token matters, and so does the order."""
    return (31 * state + token + 1) % STATES


def logits_of(tokens):
    """[n, vocabulary] logits of a sequence, from the definition: no cache, no chunks."""
    rows, state = [], 1
    for token in tokens:
        state = advance(state, token)
        rows.append(TABLE[state])
    return torch.stack(rows)


class FakeSession:
    """A session without a model; what it has cached is the state after each token."""

    def __init__(self, max_seq_len=16):
        self.max_seq_len = max_seq_len
        self.capacity = max_seq_len  # what it enforces; a seeded defect may let it differ
        self.states = [1]

    def reset(self):
        self.states = [1]

    def forward(self, tokens, position):
        check_call(tokens, position, fed=len(self.states) - 1, max_seq_len=self.capacity)
        del self.states[position + 1 :]
        for token in tokens[0].tolist():
            self.states.append(advance(self.states[-1], token))
        return TABLE[torch.tensor(self.states[position + 1 :])].clone()


def build_record(**fields):
    """A passing record; ``fields`` replace its own."""
    return Record(
        **{
            "created": "2026-11-21T08:00:00+00:00",
            "model": "smollm2-135m",
            "family": "smollm2",
            "task": "text-generation",
            "scale": "twin",
            "hub_id": None,
            "revision": None,
            "configuration": "portable-fp32",
            "status": "pass",
            **fields,
        }
    )


@pytest.fixture(scope="session")
def fake_session():
    """The class of fake sessions, to be called or derived from."""
    return FakeSession


@pytest.fixture(scope="session")
def expected_logits():
    """The function that fake sessions compute."""
    return logits_of


@pytest.fixture(scope="session")
def make_record():
    """Makes records."""
    return build_record
