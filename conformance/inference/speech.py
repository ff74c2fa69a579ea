"""Programs that write down what they hear."""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError
from conformance.inference.base import Output, Statistics, read_tokenizer
from conformance.inference.text import Generated, Writer, listed
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Heard:
    """What a program wrote about a sound."""

    text: str
    ids: tuple[int, ...]
    """Its tokens; of a program with CTC the best letter of every frame."""
    seconds: float
    """Length of the sound."""
    notes: tuple[str, ...]
    """What was done to the sound before."""
    statistics: Statistics


def read_extractor(place: Path) -> Any:
    """The feature extractor in a directory.

    Raises:
        ConformanceError: there is none that can be read.
    """
    from transformers import AutoFeatureExtractor

    if not (place / "preprocessor_config.json").is_file():
        raise ConformanceError(f"{place} has no preprocessor_config.json; give the checkpoint's directory with --processor.")
    check_files(place)
    try:
        return AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ConformanceError(f"cannot read what prepares sounds in {place}: {type(error).__name__}: {error}") from error


class SpeechRecognition(Writer):
    """A program of ``automatic-speech-recognition``: an encoder and its decoder, or one that spells with CTC."""

    task = "automatic-speech-recognition"

    def _open(self, threads: int) -> Any:
        from conformance.sessions.executorch import ExecuTorchInference
        from conformance.sessions.program import methods_of
        from conformance.sessions.seq2seq import ExecuTorchSeq2Seq

        methods = methods_of(self.program)
        if "get_sampling_rate" not in methods:
            raise SessionError(f"{self.program} does not listen: 'zoo generate', 'zoo classify' or 'zoo fill-mask' may run it.")
        return (ExecuTorchSeq2Seq if "text_decoder" in methods else ExecuTorchInference)(self.program, threads=threads)

    @property
    def writes(self) -> bool:
        """Whether it writes token by token; otherwise it spells with CTC."""
        return hasattr(self.session, "condition")

    @property
    def sampling_rate(self) -> int:
        """Samples a second of the sounds it takes."""
        return int(self.session.integer("get_sampling_rate"))

    @functools.cached_property
    def tokenizer(self) -> Any:
        return read_tokenizer(self.companions, option="--processor")

    @functools.cached_property
    def extractor(self) -> Any:
        """The feature extractor beside the program, as ``read_extractor`` gives it."""
        return read_extractor(self.companions)

    def transcribe(
        self,
        sound: Any,
        *,
        rate: int | None = None,
        max_new_tokens: int | None = None,
        on_text: Callable[[str], None] | None = None,
    ) -> Heard:
        """Write down what is heard.

        Args:
            sound: A WAV file, or samples [n] between -1 and 1.
            rate: Samples a second of ``samples``; ``None`` stands for the program's.
            max_new_tokens: Tokens at most, of a program that writes token by token; ``None`` as many as there is room for.
            on_text: Called with each piece of text.

        Raises:
            SessionError: the sound is too long or too short for the program.
            ConformanceError: the file cannot be read, or there is no feature extractor or tokenizer.
        """
        import numpy as np

        from conformance.listening import read_wav, resampled
        from zoo.twins.speech import features

        began = time.perf_counter()
        wanted, notes = self.sampling_rate, []
        if isinstance(sound, (str, os.PathLike)):
            read = read_wav(Path(sound))
            samples, rate = read.samples, read.rate
            notes += [f"{read.channels} channels mixed into one"] if read.channels > 1 else []
        else:
            samples, rate = np.asarray(sound, dtype=np.float32), rate or wanted
        notes += [f"resampled from {rate} to {wanted} Hz through its spectrum"] if rate != wanted else []
        seconds = len(samples) / rate
        samples = resampled(samples, rate, wanted)
        longest = getattr(self.extractor, "n_samples", None)  # Whisper's fills up to so many, and cuts off what is beyond
        if longest is not None and len(samples) > longest:
            raise SessionError(
                f"the sound has {len(samples) / wanted:.1f} seconds, and {self.program.name} takes {longest / wanted:.0f}. "
                "Cut it."
            )
        inputs = features(self.extractor, samples)
        coder = self.tokenizer
        if self.writes:
            said = self._about(inputs, began, max_new_tokens, on_text)
            return Heard(said.text, said.ids, seconds, tuple(notes), said.statistics)
        with self._timed():
            ids = self.session.infer(inputs).argmax(-1).tolist()
        text = str(coder.decode(ids))
        if on_text is not None:
            on_text(text)
        return Heard(text, tuple(ids), seconds, tuple(notes), self.statistics)

    def generate(self, input_features: Tensor, *, max_new_tokens: int | None = None, **options: Any) -> Generated:
        """Write about what the checkpoint's feature extractor made of a sound; other arguments as ``TextGeneration.generate``.

        Raises:
            SessionError: the program spells with CTC: ``transcribe`` runs it.
        """
        if not self.writes:
            raise SessionError(f"{self.program} spells with CTC and generates nothing; call transcribe, or the model itself.")
        return self._about(
            {"input_features": input_features},
            time.perf_counter(),
            max_new_tokens,
            options.pop("on_text", None),
            streamer=options.pop("streamer", None),
            eos_token_id=options.pop("eos_token_id", None),
            **options,
        )

    def __call__(self, input_features: Tensor, decoder_input_ids: Any = None) -> Output:
        """The logits of a sound as the feature extractor made it: [1, frames, vocabulary] with CTC, otherwise [1, m,
        vocabulary] of ``decoder_input_ids`` [1, m], or of what its text begins with."""
        import torch

        with self._timed():
            if not self.writes:
                return Output(logits=self.session.infer({"input_values": input_features}).clone()[None])
            self.session.condition({"input_features": input_features})
            tokens = self.session.prompt if decoder_input_ids is None else listed(decoder_input_ids)
            return Output(logits=self.session.forward(torch.tensor([list(tokens)]), 0).clone()[None])

    def _about(
        self,
        inputs: dict[str, Tensor],
        began: float,
        max_new_tokens: int | None,
        on_text: Callable[[str], None] | None,
        *,
        streamer: Any = None,
        eos_token_id: Any = None,
        **options: Any,
    ) -> Generated:
        self.session.condition(inputs)
        return self._write(
            self.session.prompt,
            began,
            max_new_tokens=max_new_tokens,
            eos_token_id=eos_token_id,
            streamer=streamer,
            on_text=on_text,
            prompt_tokens=len(self.session.prompt),
            options=options,
        )
