"""Commands that ask an exported program: generate, fill-mask, transcribe, classify, detect."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from conformance.cli.console import app, err, out
from conformance.cli.options import Best, Exported, Threads, TokenizerPlace
from conformance.errors import ConformanceError


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
) -> None:
    """Continue a prompt greedily with an exported program."""
    from conformance import answering, showing

    if not prompt:
        raise ConformanceError("--prompt is empty; give at least one character.")

    def on_text(text: str) -> None:
        out.print(Text(text), end="")

    if image or audio:
        said = showing.generate_about(
            artifact,
            prompt,
            images=image or (),
            sounds=audio or (),
            companions=tokenizer,
            max_new_tokens=max_new_tokens,
            threads=threads,
            on_text=on_text,
        )
    else:
        said = answering.generate_text(
            artifact, prompt, tokenizer=tokenizer, max_new_tokens=max_new_tokens, threads=threads, on_text=on_text
        )
    out.print()
    err.print(
        Text(
            f"{said.prompt_tokens} prompt tokens, {said.tokens} new ({said.stop}); load {said.load_seconds:.2f} s, "
            f"first token {1e3 * said.first_token_seconds:.1f} ms, decode {said.tokens_per_second:.1f} tokens/s"
        ),
        style="dim",
    )


@app.command("fill-mask")
def fill_mask(
    artifact: Exported,
    text: Annotated[str, typer.Argument(help="A text with [MASK] where something is to be filled in.")],
    tokenizer: TokenizerPlace = None,
    best: Best = 5,
    threads: Threads = 1,
) -> None:
    """Fill in the masks of a text with an exported program."""
    from conformance import answering

    for number, guesses in enumerate(
        answering.fill_mask(artifact, text, tokenizer=tokenizer, best=best, threads=threads), start=1
    ):
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
) -> None:
    """Write down what an exported program hears in a sound file."""
    from conformance import listening

    heard = listening.transcribe(
        artifact,
        sound,
        processor=processor,
        max_new_tokens=max_new_tokens,
        threads=threads,
        on_text=lambda piece: out.print(Text(piece), end=""),
    )
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
) -> None:
    """Say what an image shows, with an exported program."""
    from conformance import answering

    for guess in answering.classify(artifact, image, processor=processor, best=best, threads=threads):
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
) -> None:
    """Find the objects in an image with an exported program: score, label, and box (left, top, right, bottom) in pixels."""
    from conformance import answering

    found = answering.detect(artifact, image, processor=processor, threshold=threshold, threads=threads, save=save)
    for each in found:
        box = ", ".join(f"{value:.1f}" for value in each.box)
        out.print(Text(f"{each.score:6.1%}  {each.label}  ({box})"))
    if not found:
        err.print(Text(f"no object has a score above {threshold:g}; a lower --threshold shows less sure ones."))
    if save is not None:
        out.print(Text(f"wrote {save}"))
