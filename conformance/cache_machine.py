"""The cache as a state machine: hypothesis drives a program and eager PyTorch through the same calls, and compares every
answer.

A counter-example is printed as the calls that lead to it, shrunk to the fewest, and reads like a test::

    state = CacheMachine()
    state.prefill(tokens=[3, 10, 17, 24])
    state.decode(token=5)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from hypothesis import HealthCheck, Phase, Verbosity, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from torch import Tensor

from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.sessions.protocol import GenerationSession, SessionError

LONGEST_WALK = 8
"""Calls of one example."""


@dataclass(frozen=True)
class Subject:
    """What is driven, and what it is held against."""

    program: GenerationSession
    eager: GenerationSession
    vocabulary: int
    tolerance: Tolerance
    rewinds: bool
    """Whether the program can go back to an earlier position; otherwise it must refuse and go on where it was."""
    fail: Callable[[], None]
    """Makes the program's runtime fail in the middle of a sequence."""


class WrongLogitsError(AssertionError):
    """The program answered something else than eager PyTorch."""


def machine(subject: Subject) -> type[RuleBasedStateMachine]:
    """The state machine over a subject."""
    capacity = subject.program.max_seq_len
    token = st.integers(0, subject.vocabulary - 1)
    # Length and first token are drawn, not every token: many times as fast, and as good at telling positions apart.
    several = st.builds(_tokens, st.integers(1, capacity), token, st.just(subject.vocabulary))

    class CacheMachine(RuleBasedStateMachine):
        """Calls, each followed by a comparison."""

        def __init__(self) -> None:
            super().__init__()
            self.fed: list[int] = []

        @initialize()
        def begin(self) -> None:
            self.reset()

        @rule()
        def reset(self) -> None:
            """Begin another sequence; what the last one left behind must not be seen."""
            subject.program.reset()
            subject.eager.reset()
            self.fed = []

        @rule(tokens=several)
        def prefill(self, tokens: list[int]) -> None:
            """Begin a sequence with a prompt of any length, in one call."""
            self.reset()
            self.feed(tokens)

        @rule(tokens=several)
        def feed(self, tokens: list[int]) -> None:
            """Go on with any number of tokens in one call; too many are refused, and nothing is lost."""
            self._call(tokens, len(self.fed))

        @rule(token=token)
        def decode(self, token: int) -> None:
            """Go on with one token."""
            self._call([token], len(self.fed))

        @precondition(lambda self: len(self.fed) < capacity)
        @rule(data=st.data())
        def fill(self, data: st.DataObject) -> None:
            """Go on in chunks, up to the last position."""
            left = capacity - len(self.fed)
            while left:
                size = data.draw(st.integers(1, left), label="chunk")
                self._call([(len(self.fed) + offset) % subject.vocabulary for offset in range(size)], len(self.fed))
                left -= size

        @precondition(lambda self: self.fed)
        @rule(data=st.data(), tokens=several)
        def rewind(self, data: st.DataObject, tokens: list[int]) -> None:
            """Take the sequence up at an earlier position."""
            to = data.draw(st.integers(0, len(self.fed) - 1), label="to")
            if to == 0 or subject.rewinds:
                self._call(tokens, to)
            else:
                _refuses(subject.program, tokens[: capacity - to], to)

        @rule()
        def feed_one_too_many(self) -> None:
            """More than the cache holds; refused, and nothing is lost."""
            _refuses(subject.program, [0] * (capacity + 1), 0)

        @rule(token=token, gap=st.integers(1, 3))
        def leave_a_gap(self, token: int, gap: int) -> None:
            """A position that was never reached; refused, and nothing is lost."""
            _refuses(subject.program, [token], len(self.fed) + gap)

        @rule()
        def fail_in_the_runtime(self) -> None:
            """A call that the runtime gives up; the next one must not notice."""
            subject.fail()

        def _call(self, tokens: list[int], position: int) -> None:
            if position + len(tokens) > capacity:
                _refuses(subject.program, tokens, position)
                return
            given = torch.tensor([tokens])
            expected = subject.eager.forward(given, position)
            found = subject.program.forward(given, position)
            self.fed = [*self.fed[:position], *tokens]
            compare(expected, found, subject.tolerance, position)

    return CacheMachine


def _tokens(length: int, first: int, vocabulary: int) -> list[int]:
    """Tokens that do not repeat soon: from ``first`` on in steps of 7."""
    return [(first + 7 * index) % vocabulary for index in range(length)]


def _refuses(session: GenerationSession, tokens: list[int], position: int) -> None:
    try:
        session.forward(torch.tensor([tokens]), position)
    except SessionError:
        return
    raise WrongLogitsError(f"{len(tokens)} tokens at position {position} were accepted")


def compare(expected: Tensor, found: Tensor, tolerance: Tolerance, position: int) -> None:
    """Hold logits [n, vocabulary] against eager PyTorch's, position by position.

    Raises:
        WrongLogitsError: they differ by more than the tolerance, or are not numbers.
    """
    difference = (found - expected).double()
    if tolerance.relative is None:
        errors, limit = difference.abs().amax(1), MAX_ABS_ERROR
    else:
        errors, limit = difference.norm(dim=1) / expected.double().norm(dim=1).clamp_min(1e-30), tolerance.relative
    wrong = ~(errors <= limit)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise WrongLogitsError(f"error {float(errors[first]):.2e} at position {position + first}, at most {limit} is allowed")


def drive(subject: Subject, *, examples: int, shrink: bool = True) -> None:
    """Run the machine.

    Args:
        examples: Random walks; the same ones each time.
        shrink: Whether a counter-example is made as short as can be.

    Raises:
        WrongLogitsError: a walk was found on which the program differs; its calls are in the exception's notes.
    """
    run_state_machine_as_test(
        machine(subject),
        settings=settings(
            max_examples=examples,
            stateful_step_count=LONGEST_WALK,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=(Phase.generate, *((Phase.shrink,) if shrink else ())),
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.normal,
        ),
    )
