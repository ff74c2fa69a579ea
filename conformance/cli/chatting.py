"""The command that talks: chat."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from conformance.cli.answering import in_a_child, told, write
from conformance.cli.console import app, err, out
from conformance.cli.options import Memory, Threads, Timeout, TokenizerPlace
from conformance.sessions.protocol import SessionError

if TYPE_CHECKING:
    from conformance.chatting import Conversation

MARKER = "> "
HELP = "/help shows this, /reset forgets the conversation, /quit (or Ctrl-D) ends it; Ctrl-C ends an answer."


@app.command()
def chat(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL|ARTIFACT", help="A registry name, whose twin is exported, or what 'zoo export' wrote."),
    ],
    tokenizer: TokenizerPlace = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max_new_tokens", "--max-new-tokens", min=1, help="Tokens of an answer at most (default: the context)."),
    ] = None,
    threads: Threads = 1,
    timeout: Timeout = 0,
    memory: Memory = 0,
) -> None:
    """Chat with an exported program in the terminal; with standard input from a pipe, one prompt a line."""
    from conformance import chatting

    in_a_child(model, timeout, memory)
    row = chatting.row_of(model)
    program, place = Path(model), tokenizer
    if row is not None:
        chatting.check_chat(row.task, row.name)
        with err.status("importing") as status:
            program, checkpoint = chatting.exported_twin(row, lambda stage, _: status.update(f"{model}: {stage}"))
        place = tokenizer or checkpoint
    with err.status("loading"):
        opened = chatting.opened(program, place, threads=threads)
    with opened as loaded:
        talk = chatting.Conversation(loaded)
        at_terminal = sys.stdin.isatty()
        _greet(talk, row.reference_prompts[0].text if row is not None else None, at_terminal)
        answered = [_answer(talk, line, max_new_tokens) for line in _prompts(at_terminal, talk)]
    if not all(answered) and not at_terminal:
        raise typer.Exit(1)


def _greet(talk: Conversation, reference: str | None, at_terminal: bool) -> None:
    if reference is not None:
        err.print(
            Text(
                "This is a twin: a tiny model with the real architecture, which knows its reference texts and nothing else. "
                f"Ask it: {reference}"
            )
        )
    if not at_terminal:
        return
    if not talk.remembers:
        err.print(Text("Its tokenizer has no chat template: each prompt is continued by itself."))
    err.print(Text(f"The context has {talk.model.max_seq_len} tokens. {HELP}"))


def _prompts(at_terminal: bool, talk: Conversation) -> Iterator[str]:
    """What is asked, until it ends; commands are obeyed."""
    while True:
        try:
            line = input(MARKER) if at_terminal else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            err.print()
            return
        if not at_terminal and not line:
            return
        asked = line.strip()
        if asked == "/quit":
            return
        if asked == "/reset":
            talk.reset()
            err.print("forgotten.")
        elif asked == "/help":
            err.print(HELP)
        elif asked.startswith("/"):
            err.print(Text(f"unknown command {asked.split()[0]}. {HELP}"), style="yellow")
        elif asked:
            yield asked


def _answer(talk: Conversation, prompt: str, max_new_tokens: int | None) -> bool:
    """Print an answer and its figures; whether there is one."""
    try:
        said = talk.ask(prompt, max_new_tokens=max_new_tokens, on_text=write)
    except KeyboardInterrupt:
        out.print()
        err.print("interrupted; nothing of it is remembered.", style="dim")
        return True
    except SessionError as error:
        err.print(Text(str(error)), style="yellow")
        return False
    out.print()
    err.print(Text(told(said)), style="dim")
    if said.stop == "full":
        hint = " /reset begins anew." if talk.remembers else ""
        err.print(Text(f"the context of {talk.model.max_seq_len} tokens is full.{hint}"), style="yellow")
    return True


__all__ = ["chat"]
