"""Sounds in files, read for programs that listen, at the rate that they listen at."""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError

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


def check_wav(path: Path) -> None:
    """Refuse a file that is not there.

    Raises:
        ConformanceError: it is not.
    """
    if not path.is_file():
        raise ConformanceError(f"{path} does not exist; give a WAV file.")


def read_wav(path: Path) -> Sound:
    """The sound of a WAV file of 8, 16, 24 or 32 bit PCM, with any number of channels.

    Raises:
        ConformanceError: there is no such file, or it is another kind of file, or it holds no sound.
    """
    import numpy as np

    check_wav(path)
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
