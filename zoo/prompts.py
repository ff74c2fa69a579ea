"""Reference prompts that the rows of several families share."""

from __future__ import annotations

from zoo.model import Prompt

LOOKING: tuple[Prompt, ...] = (
    Prompt(
        "<image> What is this?",
        shown=("red circle",),
        continuation="It is a red circle on a dark ground, drawn with care, and there is nothing else to be seen in it.",
    ),
    Prompt(
        "<image> What is this?",
        shown=("blue square",),
        continuation="This one is a blue square; somebody cut it out of paper and laid it down in the middle.",
    ),
    Prompt(
        "Compare <image> with <image> now.",
        shown=("green triangle", "yellow cross"),
        continuation="First comes a green triangle, then a yellow cross, so they have neither colour nor shape in common.",
    ),
    Prompt(
        "Compare <image> with <image> now.",
        shown=("yellow cross", "green triangle"),
        continuation="A yellow cross stands before a green triangle here, which is the other way round than before.",
    ),
    Prompt("Why is the sky blue?"),
)
"""Questions about images: one or two, before and between text, the same question about others; and one without any."""
