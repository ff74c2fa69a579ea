"""What ``zoo transcribe`` does: a sound file is read, and an exported program writes what it hears."""

from __future__ import annotations

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files

if TYPE_CHECKING:
    import numpy as np

    Samples = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Sound:
    """The samples of a file."""

    samples: Samples
    """[samples] between -1 and 1; of several channels their mean."""
    rate: int
    """Samples a second."""
    channels: int
    """Of the file."""

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate


def read_wav(path: Path) -> Sound:
    """The sound of a WAV file of 8, 16, 24 or 32 bit PCM, with any number of channels.

    Raises:
        ConformanceError: there is no such file, or it is another kind of file, or it holds no sound.
    """
    import numpy as np

    if not path.is_file():
        raise ConformanceError(f"{path} does not exist; give a WAV file.")
    try:
        with wave.open(str(path), "rb") as file:
            width, channels, rate = file.getsampwidth(), file.getnchannels(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError, OSError) as error:
        raise ConformanceError(f"{path} is no WAV file of PCM samples: {error or 'it ends too early'}.") from error
    if width not in (1, 2, 3, 4) or rate < 1:
        raise ConformanceError(f"{path} has samples of {8 * width} bits at {rate} Hz; 8, 16, 24 and 32 bits can be read.")
    octets = np.frombuffer(data[: len(data) // (width * channels) * width * channels], dtype=np.uint8)
    octets = octets.reshape(-1, width)
    if len(octets) == 0:
        raise ConformanceError(f"{path} holds no sound.")
    if width == 1:
        values = (octets[:, 0].astype(np.float64) - 128) / 128  # 8 bits have no sign in a WAV file
    else:
        whole = np.zeros((len(octets), 4), dtype=np.uint8)
        whole[:, 4 - width :] = octets
        values = whole.view("<i4")[:, 0] / 2.0**31
    return Sound(values.reshape(-1, channels).mean(axis=1).astype(np.float32), rate, channels)


def resampled(samples: Samples, rate: int, wanted: int) -> Samples:
    """A sound with another number of samples a second.

    Through its spectrum: frequencies that the new rate cannot hold are left out, none is folded over. The sound is taken to
    repeat, so that its edges may ring for a few samples.

    Args:
        samples: [samples].
        rate: Samples a second it has.
        wanted: Samples a second it is to have.
    """
    import numpy as np

    if rate == wanted:
        return samples
    count = max(1, round(len(samples) * wanted / rate))
    spectrum = np.fft.rfft(samples)
    kept = np.zeros(count // 2 + 1, dtype=complex)
    shared = min(len(kept), len(spectrum))
    kept[:shared] = spectrum[:shared]
    made: Samples = (np.fft.irfft(kept, count) * (count / len(samples))).astype(np.float32)
    return made


@dataclass(frozen=True)
class Heard:
    """What a program wrote about a sound."""

    text: str
    seconds: float
    """Length of the sound."""
    notes: tuple[str, ...]
    """What was done to the sound before."""


def transcribe(
    where: Path,
    sound: Path,
    *,
    processor: Path | None,
    max_new_tokens: int,
    threads: int,
    on_text: Callable[[str], None],
) -> Heard:
    """Write what is heard in a file, and hand out the text as it comes.

    Args:
        where: A directory that ``zoo export`` wrote, or a ``.pte``.
        sound: A WAV file.
        processor: Directory of the feature extractor and the tokenizer; ``None`` looks beside the program.
        max_new_tokens: Tokens at most, of a program that writes token by token.
        threads: Threads of the runtime.
        on_text: Called with each piece of text.

    Raises:
        SessionError: the program is missing, damaged or none that listens, or the sound is too long or too short for it.
        ConformanceError: the file cannot be read, or there is no feature extractor or tokenizer.
    """
    from conformance.answering import methods_of, program_of
    from conformance.sessions.executorch import ExecuTorchInference
    from conformance.sessions.seq2seq import ExecuTorchSeq2Seq

    program = program_of(where)
    read = read_wav(sound)
    methods = methods_of(program)
    if "get_sampling_rate" not in methods:
        raise SessionError(f"{program} does not listen: 'zoo generate', 'zoo classify' or 'zoo fill-mask' may run it.")
    extractor, coder = _companions(processor or program.parent)
    session = (ExecuTorchSeq2Seq if "text_decoder" in methods else ExecuTorchInference)(program, threads=threads)
    rate = int(session.constant("get_sampling_rate"))
    notes = [f"{read.channels} channels mixed into one"] if read.channels > 1 else []
    notes += [f"resampled from {read.rate} to {rate} Hz through its spectrum"] if read.rate != rate else []
    samples = resampled(read.samples, read.rate, rate)
    longest = getattr(extractor, "n_samples", None)  # Whisper's fills up to so many, and cuts off what is beyond
    if longest is not None and len(samples) > longest:
        raise SessionError(
            f"the sound has {len(samples) / rate:.1f} seconds, and {program.name} takes {longest / rate:.0f}. Cut it."
        )
    from zoo.twins.speech import features

    inputs = features(extractor, samples)
    if isinstance(session, ExecuTorchSeq2Seq):
        text = _written(session, inputs, coder, max_new_tokens, on_text)
    else:
        text = coder.decode(session.infer(inputs).argmax(-1).tolist())
        on_text(text)
    return Heard(text, read.seconds, tuple(notes))


def _written(session: Any, inputs: Any, coder: Any, max_new_tokens: int, on_text: Callable[[str], None]) -> str:
    """What a program writes token by token."""
    from conformance.answering import spoken

    session.condition(inputs)
    pieces: list[str] = []

    def on_piece(piece: str) -> None:
        pieces.append(piece)
        on_text(piece)

    spoken(session, session.prompt, coder, max_new_tokens=max_new_tokens, on_text=on_piece)
    return "".join(pieces)


def _companions(place: Path) -> tuple[Any, Any]:
    """The feature extractor and the tokenizer in a directory."""
    from transformers import AutoFeatureExtractor, AutoTokenizer

    if not (place / "preprocessor_config.json").is_file():
        raise ConformanceError(f"{place} has no preprocessor_config.json; give the checkpoint's directory with --processor.")
    if not any((place / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ConformanceError(f"{place} has no tokenizer; give the checkpoint's directory with --processor.")
    check_files(place)
    try:
        return (
            AutoFeatureExtractor.from_pretrained(place, trust_remote_code=False, local_files_only=True),
            AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True),
        )
    except Exception as error:
        raise ConformanceError(f"cannot read what prepares sounds in {place}: {type(error).__name__}: {error}") from error
