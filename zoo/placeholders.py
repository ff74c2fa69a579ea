"""How a text says where its images and sounds are: a marker that people write, and what tokenizers know in its place."""

from __future__ import annotations

from collections.abc import Mapping
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

    def expand(self, text: str, embeddings: int) -> str:
        """The text with every marker replaced.

        Args:
            embeddings: Of one image or sound.
        """
        return text.replace(self.marker, f"{self.before}{self.token * embeddings}{self.after}")

    @property
    def tokens(self) -> tuple[str, ...]:
        """The special tokens that a tokenizer must know."""
        found = [self.token]
        for side in (self.before, self.after):
            found += [f"<{part}" for part in side.strip().split("<") if part]
        return tuple(dict.fromkeys(found))


PLACEHOLDERS: Mapping[str, Placeholder] = MappingProxyType(
    {
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


def messages(text: str) -> list[dict[str, object]]:
    """A prompt as the one message of a chat, in the form that chat templates take: its parts, texts and markers, in order.

    Raises:
        ZooError: the prompt is empty.
    """
    if not text.strip():
        raise ZooError("the prompt is empty; write a question.")
    content: list[dict[str, str]] = []
    rest = text
    while rest:
        found = [(rest.index(marker), marker) for marker in (IMAGE, AUDIO) if marker in rest]
        place, marker = min(found, default=(len(rest), ""))
        if rest[:place].strip():
            content.append({"type": "text", "text": rest[:place].strip()})
        if marker:
            content.append({"type": "image" if marker == IMAGE else "audio"})
        rest = rest[place + len(marker) :]
    return [{"role": "user", "content": content}]
