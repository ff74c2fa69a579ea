"""Programs that look at images or listen, and write."""

from __future__ import annotations

import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError
from conformance.inference.base import Output, encoded
from conformance.inference.text import Generated, Streamer, Writer, listed
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files
from zoo.errors import ZooError

if TYPE_CHECKING:
    from torch import Tensor


class MultimodalText(Writer):
    """A decoder of ``image-text-to-text`` or ``audio-text-to-text`` with the encoder in front of it."""

    def _open(self, threads: int) -> Any:
        from conformance.sessions.multimodal import MultimodalSession

        return MultimodalSession(self.program, threads=threads)

    @property
    def task(self) -> str:  # type: ignore[override]
        return "audio-text-to-text" if "audio_encoder" in self.session.methods else "image-text-to-text"

    @functools.cached_property
    def _preparation(self) -> tuple[Any, Any]:
        """How prompts say where images or sounds are, and what prepares those."""
        from zoo.placeholders import placeholder
        from zoo.twins.media import load_processor

        place = self.companions
        for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
            if not (place / name).is_file():
                raise ConformanceError(f"{place} has no {name}; give the checkpoint's directory with --tokenizer.")
        check_files(place)
        try:
            known = placeholder(json.loads((place / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
            return known, load_processor(place)
        except ZooError:
            raise
        except Exception as error:
            raise ConformanceError(f"cannot read what prepares prompts in {place}: {type(error).__name__}: {error}") from error

    def generate(
        self,
        inputs: str | Any,
        *,
        images: Sequence[Any] = (),
        sounds: Sequence[Any] = (),
        features: Mapping[str, Tensor] | None = None,
        max_new_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        streamer: Streamer | None = None,
        on_text: Callable[[str], None] | None = None,
        **options: Any,
    ) -> Generated:
        """Continue a prompt about pictures or sounds greedily.

        Args:
            inputs: A text, with ``<image>`` or ``<audio>`` where each stands (without any, they stand before the text), put
                as the tokenizer's chat template does; or token ids [n] or [1, n] with the placeholders of every one.
            images: Files, or PIL images.
            sounds: WAV files, or samples [n] between -1 and 1 at the processor's rate.
            features: Instead of both, what the checkpoint's processor makes of them, a row each.
            max_new_tokens: As in ``TextGeneration.generate``, and so are the others.

        Raises:
            SessionError: the prompt does not fit, or the program reads something else.
            ConformanceError: a file cannot be read, or there is no processor or tokenizer.
        """
        began = time.perf_counter()
        counts = self.session.condition(features if features is not None else self._prepared(images, sounds))
        ids = self._asked(inputs, counts) if isinstance(inputs, str) else listed(inputs)
        return self._write(
            ids,
            began,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            streamer=streamer,
            on_text=on_text,
            prompt_tokens=len(ids),
            options=options,
        )

    def __call__(self, input_ids: Any, **features: Tensor) -> Output:
        """The logits [1, n, vocabulary] of tokens [1, n] with the placeholders of ``features``, which are as the checkpoint's
        processor names them (``pixel_values``, ``input_features``)."""
        import torch

        ids = listed(input_ids)
        with self._timed(prompt_tokens=len(ids)):
            self.session.condition(features)
            return Output(logits=self.session.forward(torch.tensor([ids]), 0).clone()[None])

    def _prepared(self, images: Sequence[Any], sounds: Sequence[Any]) -> Mapping[str, Tensor]:
        """What the encoder is given."""
        from conformance.listening import read_wav, resampled
        from conformance.showing import read_image
        from zoo.placeholders import AUDIO
        from zoo.twins.media import join, prepare

        known, processor = self._preparation
        listens = known.marker == AUDIO
        if (images and listens) or (sounds and not listens):
            given, takes = ("pictures", "--audio") if images else ("sounds", "--image")
            raise SessionError(f"{self.program} takes no {given}: give {takes}.")
        items = [read_image(Path(each)) if isinstance(each, (str, os.PathLike)) else each for each in images]
        for each in sounds:
            if isinstance(each, (str, os.PathLike)):
                sound = read_wav(Path(each))
                each = resampled(sound.samples, sound.rate, processor.sampling_rate)
            items.append(each)
        return join([prepare(processor, item) for item in items])

    def _asked(self, prompt: str, counts: Sequence[int]) -> list[int]:
        from zoo.twins.multimodal import question

        known, coder = self._preparation[0], self.tokenizer
        if known.marker not in encoded(prompt):
            prompt = " ".join([*[known.marker] * len(counts), prompt])
        text = known.expand(prompt, counts)
        return list(coder(question(coder, text) if coder.chat_template else text)["input_ids"])
