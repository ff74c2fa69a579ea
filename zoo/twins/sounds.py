"""The reference sounds: tones, chirps, beeps and noise, synthesised for this project, and what twins write about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo.errors import unknown

if TYPE_CHECKING:
    import numpy as np

SAMPLING_RATE = 16_000
"""Samples a second."""
MAX_SECONDS = 2
"""The longest sound that a twin is exported for."""
WORDS: Mapping[str, str] = MappingProxyType(
    {
        "low tone": "One low tone hums for a second, as steady as a kettle that is far from its boil.",
        "high tone": "A high and even tone, short and clear, such as a glass gives when a spoon has touched its rim once.",
        "rising chirp": "The pitch climbs from low to high without a step, like a bird that asks the same question every "
        "morning and never waits to hear what the garden has to say about it, because the answer has always been the same.",
        "falling chirp": "The pitch slides down from high to low and is gone, the way a dropped toy is.",
        "noise burst": "A burst of noise, rain on a roof, over before anyone has shut the window.",
        "two beeps": "Two short beeps with a pause between them: the bread is done, and somebody should come.",
    }
)
"""By sound what a twin that transcribes learns to write."""


def draw(name: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The sound called ``name``, [samples] between -1 and 1 at ``SAMPLING_RATE``; each is of another length.

    Raises:
        ZooError: there is no such sound.
    """
    if name not in _SOUNDS:
        raise unknown("sound", name, _SOUNDS, hint="It is a reference prompt of a model that listens.")
    import numpy as np

    wave, seconds = _SOUNDS[name]
    time = np.arange(int(seconds * SAMPLING_RATE)) / SAMPLING_RATE
    faded = np.clip(np.minimum(time, seconds - time) / 0.02, 0, 1)  # edges without a click
    return np.asarray(0.5 * faded * wave(time), dtype=np.float32)


def _tone(hertz: float) -> Callable[[Any], Any]:
    import math

    def wave(time: Any) -> Any:
        import numpy as np

        return np.sin(2 * math.pi * hertz * time)

    return wave


def _chirp(first: float, last: float, seconds: float) -> Callable[[Any], Any]:
    def wave(time: Any) -> Any:
        import numpy as np

        return np.sin(2 * np.pi * (first * time + (last - first) * time**2 / (2 * seconds)))

    return wave


def _noise(time: Any) -> Any:
    import numpy as np

    return np.random.default_rng(0).uniform(-1, 1, len(time))


def _beeps(time: Any) -> Any:
    return _tone(1000)(time) * ((time % 0.5) < 0.2)


_SOUNDS: Mapping[str, tuple[Callable[[Any], Any], float]] = MappingProxyType(
    {
        "low tone": (_tone(220), 1.0),
        "high tone": (_tone(1760), 0.6),
        "rising chirp": (_chirp(300, 3000, 1.3), 1.3),
        "falling chirp": (_chirp(2500, 250, 0.8), 0.8),
        "noise burst": (_noise, 0.5),
        "two beeps": (_beeps, 1.2),
    }
)
"""By name a function of the time in seconds, and how many seconds it lasts."""
