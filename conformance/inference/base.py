"""What all loaded programs have: a session that can be closed, companions beside the program, and figures of the last call."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from conformance.errors import ConformanceError
from conformance.sessions.protocol import SessionError
from exporters.artifact import ACCOUNT, PROGRAM, Artifact
from zoo.checkpoints import check_files

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self


@dataclass(frozen=True)
class Statistics:
    """Figures of a call."""

    load_seconds: float
    """Of the program, when it was loaded."""
    seconds: float = 0.0
    """Of the whole call, preparation of the inputs included."""
    prompt_tokens: int = 0
    tokens: int = 0
    """New ones."""
    first_token_seconds: float = 0.0
    """From the beginning of the call; what an encoder reads is in it."""
    tokens_per_second: float = 0.0
    """After the first one; 0 where there is no second."""


@dataclass(frozen=True)
class Output:
    """What a call of a program answers, under transformers' names."""

    logits: Tensor | None = None
    last_hidden_state: Tensor | None = None
    pred_boxes: Tensor | None = None


class LoadedModel:
    """A program in the ExecuTorch runtime. Closing it, or leaving its ``with`` block, frees its memory.

    Args:
        program: The ``.pte``.
        companions: Directory of the tokenizer, the processor and the configuration.
        threads: Threads of the runtime.
    """

    task: str
    """As the Hub names it."""
    program: Path
    """The ``.pte``."""

    def __init__(self, program: Path, *, companions: Path, threads: int = 1) -> None:
        self.program = program
        self.companions = companions
        self._session: Any = self._open(threads)
        self.statistics = Statistics(self._session.load_seconds)
        """Figures of the last call."""

    def _open(self, threads: int) -> Any:
        raise NotImplementedError

    @property
    def session(self) -> Any:
        """The session underneath, as ``conformance.sessions`` has it.

        Raises:
            SessionError: the model was closed.
        """
        if self._session is None:
            raise SessionError(f"{self.program} was closed; load it again.")
        return self._session

    @property
    def threads(self) -> int:
        """Threads of the runtime's pool."""
        from executorch.extension.pybindings.portable_lib import _threadpool_get_thread_count

        return int(_threadpool_get_thread_count())

    @property
    def closed(self) -> bool:
        return self._session is None

    def close(self) -> None:
        """Free the program. Every call after it is refused; closing again is not."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The tokenizer beside the program, or where it was said to be.

        Raises:
            ConformanceError: there is none that can be read.
        """
        return read_tokenizer(self.companions)

    @contextmanager
    def _timed(self, **figures: int) -> Iterator[None]:
        """Keep the figures of a call of one pass."""
        load, began = self.session.load_seconds, time.perf_counter()
        yield
        self.statistics = Statistics(load, seconds=time.perf_counter() - began, **figures)


def program_of(artifact: Artifact | str | os.PathLike[str]) -> Path:
    """The program that an artifact or a path names: a ``.pte``, or the one in a directory.

    Raises:
        SessionError: there is none.
    """
    if isinstance(artifact, Artifact):
        return artifact.program
    where = Path(artifact)
    program = _in_directory(where) if where.is_dir() else where
    if not program.is_file():
        raise SessionError(f"{program} does not exist. 'zoo export' makes a .pte.")
    return program


def _in_directory(where: Path) -> Path:
    """The program that an account in a directory names, or the one of the usual name."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return where / Path(json.loads((where / ACCOUNT).read_text(encoding="utf-8"))["file"]["name"]).name
    return where / PROGRAM


def task_of(program: Path) -> str:
    """What a program does: as its account beside it says, or by its methods and what they answer.

    Raises:
        SessionError: it is damaged, or of no known kind.
    """
    from conformance.sessions.program import account_beside, opened

    account = account_beside(program)
    return account.task if account is not None else _guessed(opened(program))


def _guessed(program: Any) -> str:
    methods = program.methods
    if "token_embedding" in methods:
        return "audio-text-to-text" if "audio_encoder" in methods else "image-text-to-text"
    if "get_sampling_rate" in methods:
        return "automatic-speech-recognition"
    if "text_decoder" in methods:
        return "text2text-generation"
    if "forward" not in methods:
        raise SessionError(f"{program.path} has the methods {', '.join(sorted(methods))}, of no known task.")
    if "get_num_queries" in methods:
        return "object-detection"
    program.load("forward")
    taken, answer = program.input_sizes(), program.output_sizes()[0]
    if len(taken[0]) == 4:
        return "image-classification"
    if "get_vocab_size" in methods and answer[-1:] != (program.integer("get_vocab_size"),):
        return "feature-extraction"
    reads = len(taken) > 1 and len(taken[1]) == 2  # a mask, not positions
    return "fill-mask" if reads else "text-generation"


def has_tokenizer(place: Path) -> bool:
    """Whether a directory has a tokenizer."""
    return any((place / name).is_file() for name in ("tokenizer.json", "vocab.json"))


def no_tokenizer(place: Path, option: str = "--tokenizer") -> str:
    """What is said of a directory without one."""
    return f"{place} has no tokenizer.json; give the checkpoint's directory with {option}."


def read_tokenizer(place: Path, *, option: str = "--tokenizer") -> Any:
    """The tokenizer in a directory.

    Raises:
        ConformanceError: there is none that can be read.
    """
    if not has_tokenizer(place):
        raise ConformanceError(no_tokenizer(place, option))
    check_files(place)
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False, local_files_only=True)
    except Exception as error:
        raise ConformanceError(f"cannot read the tokenizer in {place}: {type(error).__name__}: {error}") from error


def companions_of(artifact: str | os.PathLike[str], tokenizer: Path | None) -> Path:
    """The directory of a program's tokenizer, looked at before anything is loaded.

    Raises:
        SessionError: there is no such program.
        ConformanceError: there is no tokenizer.
    """
    place = tokenizer or program_of(artifact).parent
    if not has_tokenizer(place):
        raise ConformanceError(no_tokenizer(place))
    return place


def encoded(text: str) -> str:
    """A text, if it is one.

    Raises:
        ConformanceError: it cannot be encoded.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConformanceError(f"the prompt is no valid text: {error.reason} at character {error.start}.") from error
    return text
