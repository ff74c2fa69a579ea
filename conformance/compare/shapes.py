"""Models of one pass: however long a text is and however it is padded, the answer is eager PyTorch's, and no call leaves
anything behind for the next one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from conformance.compare.tolerance import MAX_ABS_ERROR, Tolerance
from conformance.record import Check
from conformance.sessions.protocol import InferenceSession, SessionError

Align = Callable[[Tensor, Tensor], Tensor]
"""From the baseline's answer and another one that other one, its rows in the order of the baseline's."""


def as_it_is(expected: Tensor, found: Tensor) -> Tensor:
    """An answer whose rows have an order."""
    return found


EVERY_LENGTH = 64
"""Programs that take up to so many tokens are given texts of every length; longer ones those at the boundaries."""


def check_shapes(
    session: InferenceSession,
    baseline: InferenceSession,
    inputs: Sequence[Mapping[str, Tensor]],
    max_seq_len: int | None,
    tolerance: Tolerance,
    *,
    sounds: tuple[int, int] | None = None,
    align: Align = as_it_is,
) -> Check:
    """Feed texts of every length, with padding and without, or an image twice, and then something too large.

    Args:
        session: The program's.
        baseline: Eager PyTorch, which rounds as the program does.
        inputs: Those of the examples.
        max_seq_len: Tokens a program takes; ``None`` for images.
        tolerance: The configuration's.
        sounds: Samples of the shortest and of the longest sound; ``None`` if the inputs are none.
        align: Puts the rows of an answer in the order of the baseline's.
    """
    if sounds is not None:
        ways = _sounds(inputs, *sounds)
    else:
        ways = _texts(inputs, max_seq_len) if max_seq_len is not None else _images(inputs)
    wrong: list[str] = []
    worst_error = worst_relative = 0.0
    for name, each, real in ways:
        expected, found = (asked.infer(each).clone() for asked in (baseline, session))
        if misshapen := other_shape(expected, found):
            wrong.append(f"{name}: {misshapen}")
            continue
        expected, found = expected[:real], found[:real]
        difference = (align(expected, found) - expected).double()
        error = float(difference.abs().max())
        relative = float((difference.norm(dim=1) / expected.double().norm(dim=1).clamp_min(1e-30)).max())
        good = error <= MAX_ABS_ERROR if tolerance.relative is None else relative <= tolerance.relative
        if not good:  # not a number is wrong, too
            wrong.append(f"{name}: max abs error {error:.2e}, relative {relative:.2e}")
        worst_error, worst_relative = max(worst_error, error), max(worst_relative, relative)
    too_large = _too_large(inputs[0], max_seq_len) if sounds is None else _sounds(inputs, sounds[1] + 1, sounds[1] + 1)[0][1]
    refusal = _refusal(session, too_large)
    told = wrong[:3] + ([f"{len(wrong) - 3} more"] if len(wrong) > 3 else [])
    if refusal is None:
        told.insert(0, f"{'a text' if max_seq_len else 'a sound' if sounds else 'an image'} that is too large was accepted")
    closeness = (
        f"max abs error {worst_error:.2e} (at most {MAX_ABS_ERROR:.0e})"
        if tolerance.relative is None
        else f"relative error {worst_relative:.2e} (at most {tolerance.relative})"
    )
    return Check(
        status="fail" if told else "pass",
        message="; ".join(told) or f"{len(ways)} inputs are answered as eager PyTorch does: {closeness}",
        metrics={"ways": len(ways), "max_abs_error": worst_error, "relative_error": worst_relative, "refusal": refusal},
    )


def other_shape(expected: Tensor, found: Tensor) -> str | None:
    """What is wrong with the shape of an answer; ``None`` if it is the baseline's."""
    if expected.shape == found.shape:
        return None
    return f"the answer has the shape {tuple(found.shape)}, and the baseline's {tuple(expected.shape)}"


Way = tuple[str, Mapping[str, Tensor], int | None]
"""What it is, the inputs, and how many rows of the answer are not padding; ``None`` for all of them."""


def _texts(inputs: Sequence[Mapping[str, Tensor]], max_seq_len: int) -> list[Way]:
    tokens = torch.cat([each["input_ids"] for each in inputs], dim=1)
    tokens = tokens.repeat(1, -(-max_seq_len // tokens.shape[1]))[:, :max_seq_len]
    lengths = {1, 2, 3, max_seq_len // 2, max_seq_len - 1, max_seq_len}
    if max_seq_len <= EVERY_LENGTH:
        lengths = set(range(1, max_seq_len + 1))
    ways: list[Way] = []
    for length in sorted(lengths):
        ids = tokens[:, :length]
        ways.append((f"{length} tokens", {"input_ids": ids, "attention_mask": torch.ones_like(ids)}, length))
    real = max(1, max_seq_len // 3)
    for length in (real + 1, max_seq_len):
        # What is under the padding is never seen: other tokens there must not change the answer.
        mask = torch.zeros(1, length, dtype=torch.long)
        mask[:, :real] = 1
        ways.append((f"{real} tokens padded to {length}", {"input_ids": tokens[:, :length], "attention_mask": mask}, real))
    return [*ways, ways[0]]


def _images(inputs: Sequence[Mapping[str, Tensor]]) -> list[Way]:
    first, last = inputs[0], inputs[-1]
    blank = {name: torch.zeros_like(value) for name, value in first.items()}
    return [
        ("an image", first, None),
        ("another image", last, None),
        ("a blank image", blank, None),
        ("the first image again", first, None),
    ]


def _sounds(inputs: Sequence[Mapping[str, Tensor]], shortest: int, longest: int) -> list[Way]:
    """Sounds of several lengths, cut from all of them one after the other."""
    ((name, _),) = inputs[0].items()
    endless = torch.cat([next(iter(each.values())) for each in inputs], dim=1)
    endless = endless.repeat(1, -(-longest // endless.shape[1]))
    lengths = dict.fromkeys((shortest, shortest + 1, 2 * shortest, (shortest + longest) // 2, longest - 1, longest, shortest))
    ways: list[Way] = [(f"{n} samples", {name: endless[:, :n]}, n) for n in lengths if shortest <= n <= longest]
    silent = {name: torch.zeros(1, longest)}
    return [*ways, ("silence", silent, longest), ways[0]]


def _too_large(inputs: Mapping[str, Tensor], max_seq_len: int | None) -> Mapping[str, Tensor]:
    if max_seq_len is None:
        return {name: torch.cat([value, value[:, :, -1:]], dim=2) for name, value in inputs.items()}
    ids = inputs["input_ids"][:, :1].repeat(1, max_seq_len + 1)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _refusal(session: InferenceSession, inputs: Mapping[str, Tensor]) -> str | None:
    """The session's message; ``None`` if it took the inputs."""
    try:
        session.infer(inputs)
    except SessionError as error:
        return str(error)
    return None
