"""Commands that ask an exported program: generate, fill-mask, transcribe, classify, detect."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer
from rich.text import Text

from conformance.cli.console import app, err, out
from conformance.cli.options import Best, Exported, Memory, Threads, Timeout, TokenizerPlace
from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from conformance.inference.text import Generated


@app.command()
def generate(
    artifact: Exported,
    prompt: Annotated[
        str,
        typer.Option(help="What to continue; '<image>' or '<audio>' marks where a file stands (default: first)."),
    ],
    image: Annotated[list[Path] | None, typer.Option(help="A picture that the prompt is about; may be repeated.")] = None,
    audio: Annotated[list[Path] | None, typer.Option(help="A WAV file that the prompt is about; may be repeated.")] = None,
    tokenizer: TokenizerPlace = None,
    max_new_tokens: Annotated[
        int, typer.Option("--max_new_tokens", "--max-new-tokens", min=1, help="Tokens to choose at most.")
    ] = 64,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Continue a prompt greedily with an exported program."""
    in_a_child(artifact, timeout, memory)
    from conformance.inference import load
    from conformance.inference.base import companions_of
    from conformance.inference.multimodal import MultimodalText
    from conformance.inference.text import TextGeneration, TextToText

    if not prompt:
        raise ConformanceError("--prompt is empty; give at least one character.")
    companions_of(artifact, tokenizer)

    with load(artifact, tokenizer=tokenizer, threads=threads) as model:
        if isinstance(model, MultimodalText):
            said = model.generate(prompt, images=image or (), sounds=audio or (), max_new_tokens=max_new_tokens, on_text=write)
        elif not isinstance(model, (TextGeneration, TextToText)):
            raise ConformanceError(f"{model.program} does {model.task}: {runner_of(model.task)}")
        elif image or audio:
            raise ConformanceError(f"{model.program} does {model.task} and takes neither --image nor --audio; leave them out.")
        else:
            said = model.generate(prompt, max_new_tokens=max_new_tokens, on_text=write)
    out.print()
    err.print(Text(told(said)), style="dim")


def in_a_child(program: str | Path, timeout: float, memory: float) -> None:
    """Go on in a child process, which the runtime may end, within these limits (seconds, GiB; 0 for the usual ones)."""
    from conformance.isolation import apart
    from conformance.worker import Limits

    apart(program, Limits(seconds=timeout or math.inf, memory_bytes=int(memory * 2**30)))


def write(text: str) -> None:
    """Print a piece of an answer."""
    out.print(Text(text), end="")
    out.file.flush()


def told(said: Generated) -> str:
    """How much was said, why it ended, and how fast it was."""
    figures = said.statistics
    return (
        f"{figures.prompt_tokens} prompt tokens, {figures.tokens} new ({said.stop}); load {figures.load_seconds:.2f} s, "
        f"first token {1e3 * figures.first_token_seconds:.1f} ms, decode {figures.tokens_per_second:.1f} tokens/s"
    )


def runner_of(task: str) -> str:
    """What runs a program of a task, as a sentence."""
    from conformance.inference import COMMANDS

    return f"'{COMMANDS[task]}' runs it." if task in COMMANDS else "'conformance.load' in Python runs it."


@app.command("fill-mask")
def fill_mask(
    artifact: Exported,
    text: Annotated[str, typer.Argument(help="A text with [MASK] where something is to be filled in.")],
    tokenizer: TokenizerPlace = None,
    best: Best = 5,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Fill in the masks of a text with an exported program."""
    in_a_child(artifact, timeout, memory)
    from conformance.inference import load
    from conformance.inference.base import companions_of
    from conformance.inference.one_pass import FillMask

    companions_of(artifact, tokenizer)
    with load(artifact, task=FillMask.task, tokenizer=tokenizer, threads=threads) as model:
        filled = cast(FillMask, model).fill(text, best=best)
    for number, guesses in enumerate(filled, start=1):
        out.print(Text(f"mask {number}"))
        for guess in guesses:
            out.print(Text(f"  {guess.probability:6.1%}  {guess.label!r}"))


@app.command()
def transcribe(
    artifact: Exported,
    sound: Annotated[Path, typer.Argument(help="A WAV file: 8, 16, 24 or 32 bit PCM, of any rate and number of channels.")],
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json and the tokenizer (default: beside the .pte).")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option("--max_new_tokens", "--max-new-tokens", min=1, help="Tokens at most.")] = 448,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Write down what an exported program hears in a sound file."""
    in_a_child(artifact, timeout, memory)
    from conformance.inference import load
    from conformance.inference.base import program_of
    from conformance.inference.speech import SpeechRecognition
    from conformance.listening import check_wav

    program_of(artifact)
    check_wav(sound)
    with load(artifact, task=SpeechRecognition.task, processor=processor, threads=threads) as model:
        heard = cast(SpeechRecognition, model).transcribe(sound, max_new_tokens=max_new_tokens, on_text=write)
    out.print()
    for note in heard.notes:
        err.print(Text(f"{sound}: {note}"))
    err.print(f"{heard.seconds:.1f} seconds of sound")


@app.command()
def classify(
    artifact: Exported,
    image: Annotated[Path, typer.Argument(help="A picture.")],
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json (default: where the .pte lies).")
    ] = None,
    best: Best = 5,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Say what an image shows, with an exported program."""
    in_a_child(artifact, timeout, memory)
    from conformance.inference import load
    from conformance.inference.one_pass import ImageClassification

    with load(artifact, task=ImageClassification.task, processor=processor, threads=threads) as model:
        guesses = cast(ImageClassification, model).classify(image, best=best)
    for guess in guesses:
        out.print(Text(f"{guess.probability:6.1%}  {guess.label}"))


@app.command()
def detect(
    artifact: Exported,
    image: Annotated[Path, typer.Argument(help="A picture.")],
    save: Annotated[Path | None, typer.Option(help="Write the picture with the boxes drawn into it, such as out.png.")] = None,
    threshold: Annotated[float, typer.Option(min=0, max=1, help="Score above which an object counts.")] = 0.5,
    processor: Annotated[
        Path | None, typer.Option(help="Directory with preprocessor_config.json (default: where the .pte lies).")
    ] = None,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Find the objects in an image with an exported program: score, label, and box (left, top, right, bottom) in pixels."""
    in_a_child(artifact, timeout, memory)
    from conformance.inference import load
    from conformance.inference.base import program_of
    from conformance.inference.one_pass import ObjectDetection
    from conformance.showing import check_drawing, draw, read_image

    program_of(artifact)
    picture = read_image(image)
    if save is not None:
        check_drawing(save)
    with load(artifact, task=ObjectDetection.task, processor=processor, threads=threads) as model:
        found = cast(ObjectDetection, model).detect(picture, threshold=threshold)
    for each in found:
        box = ", ".join(f"{value:.1f}" for value in each.box)
        out.print(Text(f"{each.score:6.1%}  {each.label}  ({box})"))
    if not found:
        err.print(Text(f"no object has a score above {threshold:g}; a lower --threshold shows less sure ones."))
    if save is not None:
        draw(picture, found, save)
        out.print(Text(f"wrote {save}"))
