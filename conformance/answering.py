"""What ``zoo generate``, ``zoo fill-mask`` and ``zoo classify`` do: an exported program answers a user's text or image.
``conformance.listening`` has what hears sounds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError


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
    import json

    from conformance.sessions.executorch import ExecuTorchInference
    from conformance.showing import read_image

    program = program_of(where)
    place = processor or program.parent
    if not (place / "preprocessor_config.json").is_file():
        raise ConformanceError(f"{place} has no preprocessor_config.json; give the checkpoint's directory with --processor.")
    picture = read_image(image)
    from transformers import AutoImageProcessor

    try:
        prepare: Any = AutoImageProcessor.from_pretrained(place, local_files_only=True, backend="pil")
    except Exception as error:
        raise ConformanceError(f"cannot read the image processor in {place}: {type(error).__name__}: {error}") from error
    session = ExecuTorchInference(program, threads=threads)
    logits = session.infer({"pixel_values": prepare(picture, return_tensors="pt")["pixel_values"]})
    labels: dict[str, str] = {}
    if (place / "config.json").is_file():
        labels = json.loads((place / "config.json").read_text(encoding="utf-8")).get("id2label", {})
    return _likeliest(logits[0], best, lambda index: labels.get(str(index), f"class {index}"))


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
    from transformers import AutoTokenizer

    try:
        text.encode()
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except UnicodeEncodeError as error:
        raise ConformanceError(f"the prompt is no valid text: {error.reason} at character {error.start}.") from error
    except Exception as error:
        raise ConformanceError(f"cannot read the tokenizer in {place}: {type(error).__name__}: {error}") from error
