"""Images and sounds as models are given them: what a processor makes of one, and what transformers makes of that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ZooError

PLACEHOLDER_OPTIONS = ("image_token_id", "image_token_index", "audio_token_id", "audio_token_index")
"""What configurations call the placeholder."""
Inputs = Mapping[str, Tensor]
"""By the names of a model's arguments: a row for each image or sound."""


def placeholder_id(configuration: Any) -> int:
    """The token of a transformers configuration that stands for an embedding of an image or sound."""
    for name in PLACEHOLDER_OPTIONS:
        if getattr(configuration, name, None) is not None:
            return int(getattr(configuration, name))
    raise ZooError(f"a {configuration.model_type} has no placeholder for images or sounds.")


def load_processor(checkpoint: Path) -> Any:
    """The image processor or the feature extractor of a checkpoint; Granite Speech's, which transformers 5.23.0 has with
    torchaudio only, is ``GraniteSpeechFeatures``.

    Raises:
        ZooError: there is none.
    """
    import json

    from transformers import AutoFeatureExtractor, AutoImageProcessor

    path = checkpoint / "preprocessor_config.json"
    if not path.is_file():
        raise ZooError(f"{checkpoint} has no preprocessor_config.json, which says how images or sounds are prepared.")
    values = json.loads(path.read_text(encoding="utf-8"))
    kind = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))["model_type"]
    if kind == "granite_speech":
        return GraniteSpeechFeatures(frames=values.get("frames"))
    if "image_processor_type" in values:
        return AutoImageProcessor.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True, backend="pil")
    return AutoFeatureExtractor.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)


def prepare(processor: Any, item: Any) -> dict[str, Tensor]:
    """What a model is given of one image or sound: each entry a row, [1, ...].

    Args:
        processor: As ``load_processor`` gives it.
        item: A PIL image, or samples [n] between -1 and 1 at the processor's rate.
    """
    if isinstance(processor, GraniteSpeechFeatures):
        return {"input_features": processor(item)}
    if hasattr(processor, "sampling_rate"):
        made = processor(item, sampling_rate=processor.sampling_rate, return_tensors="pt", return_attention_mask=True)
        return {"input_features": made["input_features"], "feature_attention_mask": made["attention_mask"].long()}
    made = processor(item, return_tensors="pt")
    pixels: Tensor = made["pixel_values"]
    if "image_grid_thw" in made:  # patches, flattened
        return {"pixel_values": pixels.unsqueeze(0), "image_grid_thw": made["image_grid_thw"]}
    return {"pixel_values": pixels.flatten(0, -4)[:1]}


class GraniteSpeechFeatures:
    """Granite Speech's preprocessing: log-mel frames, two and two beside each other. It is computed with transformers' own
    spectrogram, by the parameters of its feature extractor (``feature_extraction_granite_speech.py``), which needs torchaudio.

    Args:
        frames: Pairs of frames that a sound is made as long as, by silence or by an end; ``None`` leaves its length.
    """

    sampling_rate = 16_000

    def __init__(self, *, frames: int | None = None) -> None:
        from transformers.audio_utils import mel_filter_bank, window_function

        self.frames = frames
        self._filters = mel_filter_bank(257, 80, 0.0, 8000.0, self.sampling_rate, norm=None, mel_scale="htk")
        self._window = window_function(400, "hann", frame_length=512)

    def __call__(self, samples: Any) -> Tensor:
        """[1, pairs of frames, 160] of samples [n]."""
        import numpy as np
        from transformers.audio_utils import spectrogram

        samples = np.asarray(samples, dtype=np.float64)
        if self.frames is not None:
            length = (2 * self.frames - 1) * 160
            samples = np.pad(samples[:length], (0, max(0, length - len(samples))))
        mel = spectrogram(
            samples, self._window, frame_length=512, hop_length=160, fft_length=512, power=2.0, mel_filters=self._filters
        ).T
        logs = np.log10(np.clip(mel, 1e-10, None))
        logs = np.maximum(logs, logs.max() - 8.0) / 4 + 1
        logs = logs[: len(logs) // 2 * 2]
        return torch.from_numpy(logs.reshape(1, -1, 160)).float()

    def save_pretrained(self, directory: Path) -> None:
        """What ``load_processor`` reads."""
        import json

        (directory / "preprocessor_config.json").write_text(json.dumps({"sampling_rate": 16_000, "frames": self.frames}))


def join(rows: Sequence[Inputs]) -> dict[str, Tensor]:
    """Several images or sounds, one below the other; nothing of none."""
    return {name: torch.cat([row[name] for row in rows]) for name in rows[0]} if rows else {}


def arguments(model: Any, placeholders: Tensor, inputs: Inputs) -> dict[str, Any]:
    """What transformers' processors give a model beside the token ids.

    Args:
        model: A transformers model.
        placeholders: [texts, n] bool.
        inputs: As ``prepare`` makes them, those of several images one below the other.
    """
    given: dict[str, Any] = {
        name: value.to(model.dtype) if value.is_floating_point() else value for name, value in inputs.items()
    }
    kind = model.config.model_type
    if kind == "gemma3":
        given["token_type_ids"] = placeholders.long()
    if kind in ("idefics3", "smolvlm"):
        given["pixel_values"] = given["pixel_values"].unsqueeze(0)
    if kind == "voxtral":
        given.pop("feature_attention_mask", None)  # its encoder listens to silence, too
    if "image_grid_thw" in given:
        given["pixel_values"] = given["pixel_values"].flatten(0, 1)
        given["mm_token_type_ids"] = placeholders.int()
    return given


@torch.no_grad()
def features(network: Any, inputs: Inputs) -> Tensor:
    """The embeddings [tokens, hidden] that transformers makes of one image or sound; ``inputs`` as ``prepare`` makes them."""
    if network.config.model_type == "qwen2_audio":
        return _heard(network, inputs)
    given = arguments(network, torch.zeros(1, 0, dtype=torch.bool), inputs)
    given.pop("token_type_ids", None)
    given.pop("mm_token_type_ids", None)
    make = network.get_audio_features if "input_features" in given else network.get_image_features
    found: Any = make(**given).pooler_output
    return found.flatten(0, -2) if isinstance(found, Tensor) else torch.cat(list(found))


def _heard(network: Any, inputs: Inputs) -> Tensor:
    """What the decoder of Qwen2-Audio is given of a sound: transformers 5.23.0 has no function that says so by itself."""
    core = network.base_model
    length = inputs["feature_attention_mask"].sum(-1)
    count = int(core.audio_tower._get_feat_extract_output_lengths(length)[1])
    tokens = torch.full((1, count), placeholder_id(network.config))
    seen: list[Tensor] = []
    hook = core.language_model.register_forward_pre_hook(
        lambda _, args, given: seen.append(given["inputs_embeds"]), with_kwargs=True
    )
    try:
        network(input_ids=tokens, attention_mask=torch.ones_like(tokens), **arguments(network, tokens >= 0, inputs))
    finally:
        hook.remove()
    return seen[0][0]


def count_embeddings(network: Any, inputs: Inputs) -> int:
    """Embeddings that one image or sound becomes; ``inputs`` as ``prepare`` makes them."""
    return len(features(network, inputs))
