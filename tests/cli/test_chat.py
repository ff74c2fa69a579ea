"""``zoo chat``: from a pipe, at a terminal, and what it refuses."""

import io
import os
import pty
import select
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from conformance.chatting import Conversation
from conformance.cli import main
from conformance.sessions.protocol import SessionError


class FakeModel:
    """Says the prompt backwards."""

    max_seq_len = 40

    def __init__(self, template):
        self.asked = []
        self.tokenizer = SimpleNamespace(chat_template=template, apply_chat_template=self.render)

    def render(self, messages, **options):
        text = "".join(f"<{message['role']}>{message['content']}" for message in messages)
        return [ord(letter) for letter in text]

    def generate(self, prompt, *, max_new_tokens, on_text):
        self.asked.append(prompt)
        if prompt == "interrupt":
            raise KeyboardInterrupt
        on_text("yes")
        return SimpleNamespace(text="yes", stop="eos")


def quiet(text):
    return None


def test_a_conversation_is_put_as_the_template_does_and_can_be_forgotten():
    model = FakeModel("template")
    talk = Conversation(model)
    talk.ask("one", max_new_tokens=None, on_text=quiet)
    talk.ask("two", max_new_tokens=None, on_text=quiet)
    assert "".join(map(chr, model.asked[-1])) == "<user>one<assistant>yes<user>two"
    talk.reset()
    talk.ask("two", max_new_tokens=None, on_text=quiet)
    assert "".join(map(chr, model.asked[-1])) == "<user>two"


def test_a_conversation_that_no_longer_fits_is_refused_and_not_remembered():
    talk = Conversation(FakeModel("template"))
    talk.ask("one", max_new_tokens=None, on_text=quiet)
    before = list(talk.messages)
    with pytest.raises(SessionError, match="and the context 40: /reset begins a new one"):
        talk.ask("x" * 40, max_new_tokens=None, on_text=quiet)
    assert talk.messages == before


def test_without_a_template_each_prompt_stands_by_itself():
    model = FakeModel(None)
    talk = Conversation(model)
    talk.ask("one", max_new_tokens=None, on_text=quiet)
    talk.ask("two", max_new_tokens=None, on_text=quiet)
    assert model.asked == ["one", "two"]


def test_an_interrupted_answer_is_not_remembered_and_the_chat_goes_on(capsys, monkeypatch):
    from conformance.cli import chatting

    talk = Conversation(FakeModel(None))
    assert chatting._answer(talk, "interrupt", None)
    assert "interrupted" in capsys.readouterr().err
    monkeypatch.setattr("builtins.input", lambda marker: (_ for _ in ()).throw(KeyboardInterrupt))
    assert list(chatting._prompts(True, talk)) == []


def run(monkeypatch, text, *arguments):
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    with pytest.raises(SystemExit) as ended:
        main(["chat", *arguments])
    return ended.value.code


def test_a_pipe_has_a_prompt_a_line_and_no_markers(monkeypatch, capsys):
    code = run(monkeypatch, "Why is the sky blue?\n\n/reset\n/nope\n/quit\nnot asked\n", "smollm2-135m")
    told = capsys.readouterr()
    assert code == 0
    assert told.out.startswith(" Sunlight holds every colour")
    assert told.out.count("\n") == 1
    assert ">" not in told.out + told.err
    assert "knows its reference texts and nothing else" in told.err
    assert "unknown command /nope" in told.err
    assert "tokens/s" in told.err


def test_a_prompt_that_does_not_fit_is_told_and_the_chat_goes_on(monkeypatch, capsys):
    code = run(monkeypatch, f"{'long ' * 80}\nWhy is the sky blue?\n", "smollm2-135m")
    told = capsys.readouterr()
    assert code == 1
    assert "the cache holds 64" in told.err
    assert told.out.startswith(" Sunlight")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("t5-small", "t5-small does text2text-generation, and a chat needs text-generation: 'zoo generate' runs its program"),
        ("vit-base", "'zoo classify' runs its program"),
        ("smolm2-135m", "unknown model 'smolm2-135m'. Did you mean 'smollm2-135m'"),
        ("none/model.pte", "does not exist. 'zoo export' makes a .pte."),
    ],
)
def test_what_does_not_chat_is_refused_with_what_to_type(monkeypatch, capsys, name, told):
    assert run(monkeypatch, "", name) == 2
    assert told in " ".join(capsys.readouterr().err.split())


def test_at_a_terminal_there_is_a_marker_and_ctrl_d_ends_it():
    leader, follower = pty.openpty()
    code = "from conformance.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "chat", "smollm2-135m", "--max-new-tokens", "12"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(follower)
    shown, sent, deadline = "", 0, time.monotonic() + 180
    keys = ["Why is the sky blue?\n", "/help\n", "\x04"]
    while child.poll() is None and time.monotonic() < deadline:
        if select.select([leader], [], [], 0.2)[0]:
            try:
                shown += os.read(leader, 4096).decode(errors="replace")
            except OSError:
                break
        elif sent < len(keys) and shown.rstrip("\r\n").endswith("> "):
            os.write(leader, keys[sent].encode())
            sent += 1
    assert child.wait(timeout=60) == 0
    os.close(leader)
    assert "This is a twin" in shown
    assert "Ask it: " in shown
    assert "Sunlight" in shown
    assert "/quit (or Ctrl-D) ends it" in shown
    assert "Traceback" not in shown
