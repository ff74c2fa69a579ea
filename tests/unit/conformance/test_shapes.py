import pytest
import torch

from conformance.compare.shapes import check_shapes
from conformance.compare.tolerance import EXACT, Tolerance
from conformance.sessions.protocol import SessionError


class Reader:
    """A model of texts: every real token sees the sum of all real tokens."""

    limit = 16

    def infer(self, inputs):
        ids, mask = inputs["input_ids"], inputs["attention_mask"]
        if ids.shape[1] > self.limit:
            raise SessionError(f"{ids.shape[1]} tokens are too many")
        total = (ids * mask).sum().float()
        return torch.stack([ids[0].float(), total.expand(ids.shape[1])], dim=1)


class Looker:
    def infer(self, inputs):
        pixels = inputs["pixel_values"]
        if pixels.shape[2:] != (4, 4):
            raise SessionError("another size")
        return pixels.mean(dim=(2, 3))


TEXTS = tuple(
    {"input_ids": torch.arange(start, start + 9)[None], "attention_mask": torch.ones(1, 9, dtype=torch.long)}
    for start in (3, 40)
)
IMAGES = tuple({"pixel_values": torch.full((1, 3, 4, 4), value)} for value in (0.5, 0.7))


def check(session, *, images=False, tolerance=EXACT):
    inputs, baseline, length = (IMAGES, Looker(), None) if images else (TEXTS, Reader(), 16)
    return check_shapes(session, baseline, inputs, length, tolerance)


def test_equal_models_agree_at_every_length_and_under_padding():
    found = check(Reader())
    assert found.status == "pass"
    assert found.metrics["ways"] == 16 + 2 + 1
    assert "17 tokens are too many" in found.metrics["refusal"]
    assert check(Looker(), images=True).status == "pass"


class IgnoresTheMask(Reader):
    def infer(self, inputs):
        return super().infer({**inputs, "attention_mask": torch.ones_like(inputs["attention_mask"])})


class FailsAtOneLength(Reader):
    def infer(self, inputs):
        return super().infer(inputs) + (1.0 if inputs["input_ids"].shape[1] == 7 else 0.0)


class Remembers(Reader):
    """What an earlier call left behind is in the next one."""

    before = 0.0

    def infer(self, inputs):
        answer = super().infer(inputs) + self.before
        self.before = 0.01
        return answer


class TakesAnything(Reader):
    limit = 1000


class NotANumber(Reader):
    def infer(self, inputs):
        return super().infer(inputs) * float("nan")


class AnswersItsPadding(Reader):
    def infer(self, inputs):
        room = (0, self.limit - inputs["input_ids"].shape[1])
        return super().infer({name: torch.nn.functional.pad(value, room) for name, value in inputs.items()})


@pytest.mark.parametrize(
    ("session", "told"),
    [
        (AnswersItsPadding(), "1 tokens: the answer has the shape (16, 2), and the baseline's (1, 2)"),
        (IgnoresTheMask(), "5 tokens padded to 6"),
        (FailsAtOneLength(), "7 tokens"),
        (Remembers(), "2 tokens"),
        (TakesAnything(), "too large was accepted"),
        (NotANumber(), "1 tokens"),
    ],
)
def test_what_is_wrong_is_named(session, told):
    found = check(session)
    assert found.status == "fail"
    assert told in found.message


class SeesTheLastImage(Looker):
    def __init__(self):
        self.last = torch.zeros(1, 3)

    def infer(self, inputs):
        answer, self.last = self.last, super().infer(inputs)
        return answer


def test_the_output_of_the_previous_image_is_found():
    assert check(SeesTheLastImage(), images=True).status == "fail"


def test_a_rounding_is_judged_relatively():
    class Rounds(Reader):
        def infer(self, inputs):
            return super().infer(inputs) * 1.01

    assert check(Rounds(), tolerance=Tolerance(0.02, 0.02)).status == "pass"
    assert check(Rounds(), tolerance=Tolerance(0.005, 0.005)).status == "fail"
