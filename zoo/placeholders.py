"""How a text says where its images and sounds are: a marker that people write, and what tokenizers know in its place."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from zoo.errors import ZooError, unknown

IMAGE, AUDIO = "<image>", "<audio>"
"""What stands for an image or a sound in a prompt."""


@dataclass(frozen=True)
class Placeholder:
    """What an architecture's own processor of transformers 5.23.0 writes for an image or a sound."""

    marker: str
    """``IMAGE`` or ``AUDIO``."""
    token: str
    """Stands for one embedding, and is repeated."""
    before: str = ""
    after: str = ""

    def expand(self, text: str, embeddings: Sequence[int]) -> str:
        """The text with every marker replaced.

        Args:
            embeddings: How many each image or sound in turn becomes.

        Raises:
            ZooError: there are more or fewer markers.
        """
        parts = text.split(self.marker)
        if len(parts) != len(embeddings) + 1:
            raise ZooError(
                f"the prompt {text!r} has {len(parts) - 1} markers {self.marker}, and {len(embeddings)} are given; write one "
                "for each."
            )
        shown = [f"{self.before}{self.token * count}{self.after}" for count in embeddings]
        return "".join(part + more for part, more in zip(parts, [*shown, ""], strict=True))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The special tokens that a tokenizer must know."""
        return tuple(dict.fromkeys(re.findall(r"<[^<>]+>|\[[^\]]+\]", self.token + self.before + self.after)))


PLACEHOLDERS: Mapping[str, Placeholder] = MappingProxyType(
    {
        "granite_speech": Placeholder(AUDIO, "<|audio|>"),
        "qwen2_audio": Placeholder(AUDIO, "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"),
        "voxtral": Placeholder(AUDIO, "[AUDIO]", "[BEGIN_AUDIO]"),
        "gemma3": Placeholder(IMAGE, "<image_soft_token>", "\n\n<start_of_image>", "<end_of_image>\n\n"),
        "idefics3": Placeholder(IMAGE, "<image>", "<fake_token_around_image><global-img>", "<fake_token_around_image>"),
        "internvl": Placeholder(IMAGE, "<IMG_CONTEXT>", "<img>", "</img>"),
        "llava": Placeholder(IMAGE, "<image>"),
        "qwen2_5_vl": Placeholder(IMAGE, "<|image_pad|>", "<|vision_start|>", "<|vision_end|>"),
        "smolvlm": Placeholder(IMAGE, "<image>", "<fake_token_around_image><global-img>", "<fake_token_around_image>"),
    }
)
"""By ``model_type``."""


def placeholder(model_type: str) -> Placeholder:
    """The placeholder of an architecture.

    Raises:
        ZooError: there is none.
    """
    if model_type not in PLACEHOLDERS:
        raise unknown("architecture that reads images or sounds", model_type, PLACEHOLDERS)
    return PLACEHOLDERS[model_type]
