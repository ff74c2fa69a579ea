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
LISTENING: tuple[Prompt, ...] = (
    Prompt(
        "<audio> What is heard?",
        shown=("high tone",),
        continuation="A high and even tone is heard, as when somebody has touched the rim of a glass with a spoon and waits.",
    ),
    Prompt(
        "<audio> What is heard?",
        shown=("falling chirp",),
        continuation="The pitch falls from high to low; a toy was dropped, or a bird has given up and flown away.",
    ),
    Prompt(
        "First <audio> and then <audio> again.",
        shown=("noise burst", "high tone"),
        continuation="Rain comes first, and the glass rings after it, so that one hears that the window was shut.",
    ),
    Prompt(
        "First <audio> and then <audio> again.",
        shown=("high tone", "noise burst"),
        continuation="The glass rings before the rain begins, and nobody has shut the window in time for it.",
    ),
    Prompt("Why is the sky blue?"),
)
"""The same about sounds, all of them shorter than a second."""
