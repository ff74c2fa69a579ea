"""What ``zoo generate``, ``zoo fill-mask``, ``zoo classify`` and ``zoo detect`` do: an exported program answers a user's text
or image. ``conformance.listening`` has what hears sounds, and ``conformance.showing`` what is asked about files."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from zoo.checkpoints import check_files


@dataclass(frozen=True)
class Said:
    """What a program said, and how fast."""

    prompt_tokens: int
    tokens: int
    stop: str
    load_seconds: float
    first_token_seconds: float
    tokens_per_second: float


def generate_text(
    where: Path,
    prompt: str,
    *,
    tokenizer: Path | None,
    max_new_tokens: int,
    threads: int,
    on_text: Callable[[str], None],
) -> Said:
    """Continue a prompt greedily and hand out the text as it comes, whole characters only.

    Raises:
        SessionError: the program is missing or damaged, or the prompt does not fit.
        ConformanceError: there is no tokenizer.
    """
    import torch

    from conformance.sessions.executorch import ExecuTorchSession
    from conformance.sessions.seq2seq import ExecuTorchSeq2Seq

    program = program_of(where)
    coder = _tokenizer(tokenizer or program.parent, prompt)
    ids = coder(prompt)["input_ids"]
    methods = methods_of(program)
    if "token_embedding" in methods:
        from conformance.showing import generate_about

        return generate_about(
            where,
            prompt,
            images=(),
            sounds=(),
            companions=tokenizer,
            max_new_tokens=max_new_tokens,
            threads=threads,
            on_text=on_text,
        )
    if "text_decoder" in methods:
        reader = ExecuTorchSeq2Seq(program, threads=threads)
        if reader.listens:
            raise SessionError(f"{program} takes sounds: 'zoo transcribe' runs it.")
        began = time.perf_counter()
        source = torch.tensor([ids])
        reader.condition({"input_ids": source, "attention_mask": torch.ones_like(source)})
        reading = time.perf_counter() - began
        said = spoken(reader, reader.prompt, coder, max_new_tokens=max_new_tokens, on_text=on_text)
        return replace(said, prompt_tokens=len(ids), first_token_seconds=reading + said.first_token_seconds)
    session = ExecuTorchSession(program, threads=threads)
    return spoken(session, ids, coder, max_new_tokens=max_new_tokens, on_text=on_text)


def spoken(session: Any, ids: Any, coder: Any, *, max_new_tokens: int, on_text: Callable[[str], None]) -> Said:
    """Let a program's session continue token ids, and hand out the text as it comes, whole characters only."""
    from conformance.generate import generate

    began = time.perf_counter()
    eos = session.constant("get_eos_ids", [])
    chosen: list[int] = []
    shown = ""
    times: list[float] = []

    def on_token(token: int) -> None:
        nonlocal shown
        times.append(time.perf_counter())
        chosen.append(token)
        text = coder.decode(chosen, skip_special_tokens=True)
        if not text.endswith("\ufffd"):
            on_text(text[len(shown) :])
            shown = text

    said = generate(session, ids, max_new_tokens=max_new_tokens, eos_ids=eos, on_token=on_token)
    on_text(coder.decode(chosen, skip_special_tokens=True)[len(shown) :])
    decoding = times[-1] - times[0]
    return Said(
        prompt_tokens=len(ids),
        tokens=len(said.tokens),
        stop=said.stop,
        load_seconds=session.load_seconds,
        first_token_seconds=times[0] - began,
        tokens_per_second=(len(times) - 1) / decoding if len(times) > 1 and decoding > 0 else 0.0,
    )


def methods_of(program: Path) -> frozenset[str]:
    """The names of all methods of a program, constant ones included."""
    from conformance.sessions.program import Program

    class Opened(Program):
        entry_points = ()

    return Opened(program).methods


@dataclass(frozen=True)
class Guess:
    """One answer of several, with its probability among all of them."""

    label: str
    probability: float


def fill_mask(where: Path, text: str, *, tokenizer: Path | None, best: int, threads: int) -> list[list[Guess]]:
    """The likeliest tokens of each mask in a text.

    Args:
        where: A directory that ``zoo export`` wrote, or a ``.pte``.
        text: With ``[MASK]``, or the tokenizer's own mask token, wherever something is to be filled in.
        tokenizer: The tokenizer's directory; ``None`` looks beside the program.
        best: Guesses for each mask.
        threads: Threads of the runtime.

    Raises:
        SessionError: the program is missing, damaged or none that fills masks, or the text does not fit.
        ConformanceError: the text has no mask, or there is no tokenizer.
    """
    import torch

    from conformance.sessions.executorch import ExecuTorchInference

    program = program_of(where)
    coder = _tokenizer(tokenizer or program.parent, text)
    if coder.mask_token is None:
        raise ConformanceError(
            f"the tokenizer in {tokenizer or program.parent} has no mask token: its model fills in no masks."
        )
    ids = torch.tensor([coder(text.replace(MASK, coder.mask_token))["input_ids"]])
    masks = (ids[0] == coder.mask_token_id).nonzero()[:, 0].tolist()
    if not masks:
        raise ConformanceError(f"the text has no {MASK}: put it where something is to be filled in.")
    session = ExecuTorchInference(program, threads=threads)
    if session.max_seq_len is None:
        raise SessionError(f"{program} takes images: 'zoo classify' runs it.")
    logits = session.infer({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
    return [_likeliest(logits[position], best, lambda token: coder.decode([token])) for position in masks]


MASK = "[MASK]"
"""What stands for the tokenizer's own mask token in a text."""


def classify(where: Path, image: Path, *, processor: Path | None, best: int, threads: int) -> list[Guess]:
    """The likeliest classes of an image.

    Args:
        where: A directory that ``zoo export`` wrote, or a ``.pte``.
        image: A picture in any format that Pillow reads.
        processor: Directory of the image processor and of config.json with the labels; ``None`` looks beside the program.
        best: Guesses.
        threads: Threads of the runtime.

    Raises:
        SessionError: the program is missing, damaged or none that takes images.
        ConformanceError: the picture cannot be read, or there is no image processor.
    """
    from conformance.sessions.executorch import ExecuTorchInference

    program = program_of(where)
    place = processor or program.parent
    picture, prepare = _picture(image, place)
    session = ExecuTorchInference(program, threads=threads)
    if "get_num_queries" in session.methods:
        raise SessionError(f"{program} finds objects in images: 'zoo detect' runs it.")
    logits = session.infer({"pixel_values": prepare(picture, return_tensors="pt")["pixel_values"]})
    labels = _labels(place)
    return _likeliest(logits[0], best, lambda index: labels.get(str(index), f"class {index}"))


@dataclass(frozen=True)
class Found:
    """An object in a picture."""

    label: str
    score: float
    """From 0 to 1."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels of the picture."""


def detect(
    where: Path, image: Path, *, processor: Path | None, threshold: float, threads: int, save: Path | None
) -> list[Found]:
    """The objects in an image, the surest first.

    Args:
        where: A directory that ``zoo export`` wrote, or a ``.pte``.
        image: A picture in any format that Pillow reads. It is stretched to the size that the program takes.
        processor: Directory of the image processor and of config.json with the labels; ``None`` looks beside the program.
        threshold: Score above which an object counts.
        threads: Threads of the runtime.
        save: Where to write the picture with the boxes drawn into it; its suffix names the format.

    Raises:
        SessionError: the program is missing, damaged or none that finds objects.
        ConformanceError: the picture cannot be read or written, or there is no image processor.
    """
    from PIL import Image

    from conformance.detecting import pixels, read
    from conformance.sessions.executorch import ExecuTorchInference

    program = program_of(where)
    place = processor or program.parent
    picture, prepare = _picture(image, place)
    if save is not None and (save.suffix.lower() not in Image.registered_extensions() or not save.parent.is_dir()):
        raise ConformanceError(f"--save {save}: give a file with a picture's suffix, such as .png, in a directory that exists.")
    session = ExecuTorchInference(program, threads=threads)
    if "get_num_queries" not in session.methods:
        raise SessionError(f"{program} finds no objects: it has no get_num_queries, as programs of object-detection have.")
    if not hasattr(prepare, "post_process_object_detection"):
        raise ConformanceError(f"the image processor in {place} is none of a detector; give one with --processor.")
    size = int(session.constant("get_image_height")), int(session.constant("get_image_width"))
    answer = session.infer({"pixel_values": pixels(prepare, picture, size)})
    seen = read(prepare, answer, threshold=threshold, size=(picture.height, picture.width))
    labels = _labels(place)
    found = [
        Found(
            labels.get(str(int(label)), f"class {int(label)}"),
            float(score),
            (float(box[0]), float(box[1]), float(box[2]), float(box[3])),
        )
        for score, label, box in zip(seen.scores, seen.labels, seen.boxes, strict=True)
    ]
    found.sort(key=lambda each: -each.score)
    if save is not None:
        try:
            _drawn(picture, found).save(save)
        except OSError as error:
            raise ConformanceError(f"cannot write {save}: {error}.") from error
    return found


def _drawn(picture: Any, found: list[Found]) -> Any:
    """A copy of a picture with a box, a label and a score for each object."""
    from PIL import ImageDraw, ImageFont

    drawn = picture.copy()
    pen = ImageDraw.Draw(drawn)
    shorter = min(picture.size)
    width, font = max(1, shorter // 150), ImageFont.load_default(size=max(8, shorter // 25))
    for each in reversed(found):  # the surest is on top
        pen.rectangle(each.box, outline=BOX, width=width)
        text = f"{each.label} {each.score:.0%}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)
        # Above the box, or where there is no room inside of it; never beyond the picture.
        x = max(0.0, min(each.box[0], picture.width - (right - left)))
        y = each.box[1] - bottom - width if each.box[1] - bottom - width >= 0 else max(0.0, each.box[1]) + width
        pen.rectangle((x + left - 1, y + top - 1, x + right + 1, y + bottom + 1), fill=BOX)
        pen.text((x, y), text, fill=(0, 0, 0), font=font)
    return drawn


BOX = (255, 0, 255)
"""Colour of drawn boxes."""


def _picture(image: Path, place: Path) -> tuple[Any, Any]:
    """A picture in RGB, and the image processor in a directory."""
    from conformance.detecting import image_processor
    from conformance.showing import read_image

    if not (place / "preprocessor_config.json").is_file():
        raise ConformanceError(f"{place} has no preprocessor_config.json; give the checkpoint's directory with --processor.")
    picture = read_image(image)
    check_files(place)
    try:
        return picture, image_processor(place)
    except Exception as error:
        raise ConformanceError(f"cannot read the image processor in {place}: {type(error).__name__}: {error}") from error


def _labels(place: Path) -> dict[str, str]:
    """The names of a model's classes by number, from the configuration in a directory; nothing without one."""
    import json

    if not (place / "config.json").is_file():
        return {}
    labels = json.loads((place / "config.json").read_text(encoding="utf-8")).get("id2label")
    return {number: str(label) for number, label in labels.items()} if isinstance(labels, dict) else {}


def _likeliest(logits: Any, best: int, label: Callable[[int], str]) -> list[Guess]:
    """The best answers of logits [classes]."""
    values, indices = logits.softmax(-1).topk(min(best, logits.shape[-1]))
    return [Guess(label(int(index)), float(value)) for value, index in zip(values, indices, strict=True)]


def program_of(where: Path) -> Path:
    """The program that a path names: a ``.pte``, or the one in a directory.

    Raises:
        SessionError: there is none.
    """
    program = where / "model.pte" if where.is_dir() else where
    if not program.is_file():
        raise SessionError(f"{program} does not exist. 'zoo export' makes a .pte.")
    return program


def _tokenizer(place: Path, text: str) -> Any:
    """The tokenizer in a directory, after a look at the text that it is for."""
    if not (place / "tokenizer.json").is_file():
        raise ConformanceError(f"{place} has no tokenizer.json; give the checkpoint's directory with --tokenizer.")
    check_files(place)
    from transformers import AutoTokenizer

    try:
        text.encode()
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except UnicodeEncodeError as error:
        raise ConformanceError(f"the prompt is no valid text: {error.reason} at character {error.start}.") from error
    except Exception as error:
        raise ConformanceError(f"cannot read the tokenizer in {place}: {type(error).__name__}: {error}") from error
