"""What ``zoo generate --image`` and ``--audio`` do: an exported program is asked about files."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conformance.answering import Said, program_of, spoken
from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files
from zoo.errors import ZooError


def read_image(path: Path) -> Any:
    """The picture in a file, in RGB.

    Raises:
        ConformanceError: there is no such file, or none that Pillow reads.
    """
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ConformanceError(f"{path} does not exist; give a picture.")
    try:
        return Image.open(path).convert("RGB")
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
        raise ConformanceError(f"{path} is no picture that can be read: {error}.") from error


def generate_about(
    where: Path,
    prompt: str,
    *,
    images: Sequence[Path],
    sounds: Sequence[Path],
    companions: Path | None,
    max_new_tokens: int,
    threads: int,
    on_text: Callable[[str], None],
) -> Said:
    """Continue a prompt about pictures or sounds greedily, and hand out the text as it comes.

    Args:
        where: A directory that ``zoo export`` wrote, or a ``.pte``.
        prompt: With ``<image>`` or ``<audio>`` where each stands; without any, they stand before the text.
        images: Pictures.
        sounds: WAV files.
        companions: Directory of the processor, the tokenizer and config.json; ``None`` looks beside the program.
        max_new_tokens: Tokens at most.
        threads: Threads of the runtime.
        on_text: Called with each piece of text.

    Raises:
        SessionError: the program is missing, damaged, or reads something else, or the prompt does not fit.
        ConformanceError: a file cannot be read, or there is no processor or tokenizer.
    """
    from transformers import AutoTokenizer

    from conformance.listening import read_wav, resampled
    from conformance.sessions.multimodal import MultimodalSession
    from zoo.placeholders import AUDIO, placeholder
    from zoo.twins.media import join, load_processor, prepare
    from zoo.twins.multimodal import question

    program = program_of(where)
    place = companions or program.parent
    for name in ("config.json", "preprocessor_config.json", "tokenizer.json"):
        if not (place / name).is_file():
            raise ConformanceError(f"{place} has no {name}; give the checkpoint's directory with --tokenizer.")
    check_files(place)
    session = MultimodalSession(program, threads=threads)
    try:
        known = placeholder(json.loads((place / "config.json").read_text(encoding="utf-8")).get("model_type", ""))
        processor = load_processor(place)
        coder = AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except ZooError:
        raise
    except Exception as error:
        raise ConformanceError(f"cannot read what prepares prompts in {place}: {type(error).__name__}: {error}") from error
    listens = known.marker == AUDIO
    if (images and listens) or (sounds and not listens):
        given, takes = ("pictures", "--audio") if images else ("sounds", "--image")
        raise SessionError(f"{program} takes no {given}: give {takes}.")
    items = [read_image(path) for path in images]
    for path in sounds:
        sound = read_wav(path)
        items.append(resampled(sound.samples, sound.rate, processor.sampling_rate))
    if known.marker not in prompt:
        prompt = " ".join([*[known.marker] * len(items), prompt])
    began = time.perf_counter()
    rows = [prepare(processor, item) for item in items]
    counts = session.condition(join(rows))
    text = known.expand(prompt, counts)
    ids = coder(question(coder, text) if coder.chat_template else text)["input_ids"]
    reading = time.perf_counter() - began
    said = spoken(session, ids, coder, max_new_tokens=max_new_tokens, on_text=on_text)
    return replace(said, first_token_seconds=reading + said.first_token_seconds)
