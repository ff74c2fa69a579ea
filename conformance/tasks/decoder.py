"""A cell of a decoder: what every task of one goes through, from checkpoint to measurement. What a task asks of it and how it
judges the answers is a ``Task``."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from conformance import latency
from conformance.compare.cache_state import Known, another, check_cache_state, fill, longest
from conformance.compare.contract import Signature, causal_signature, check_contract, special_tokens
from conformance.compare.degeneracy import untaught
from conformance.compare.memory import check_memory
from conformance.compare.tolerance import Tolerance, tolerance
from conformance.generate import Generation
from conformance.record import Check, Record
from conformance.sessions.eager import baseline, eager_session
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import ConditionedSession, GenerationSession
from conformance.tasks import Bench, Bencher, Phase, Runner, stages
from conformance.trail import CellRequest, Trail
from exporters.artifact import Artifact, ProgramFile
from exporters.config import ExportConfig
from zoo.errors import ZooError
from zoo.model import Model

DEFAULT_MAX_SEQ_LEN = 128
"""Cache length of cells at other scales than ``twin``."""


@dataclass(frozen=True)
class Reference:
    """What the sessions are fed."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids of the reference prompts."""
    sequences: tuple[tuple[int, ...], ...]
    """A sequence for each prompt: the prompt with its continuation, or the text it asks for."""
    max_seq_len: int
    taught: bool = False
    """Whether the continuations are what the checkpoint was trained to say."""
    margin: float | None = None
    """The smallest margin, in logits, with which it said so when its training ended; ``None`` if that is not known."""
    new_tokens: int = 0
    """Tokens to decode for each prompt, if the cache has room for them."""
    conditions: tuple[Mapping[str, Tensor], ...] = ()
    """What each sequence is about, as ``ConditionedSession.condition`` takes it; empty where there is nothing but the text."""

    filler: tuple[int, ...] = ()
    """Tokens that fill the cache after the longest sequence; empty takes the other sequences."""
    least_prompt: int = 0
    """Tokens that have to be fed in one call before latency is measured."""
    together: int | None = None
    """A token whose neighbours of the same kind have to be fed in one call with it."""
    max_source_len: int | None = None
    """What an encoder in front of the decoder reads at most; ``None`` without one."""

    @property
    def spans(self) -> list[range]:
        """Where tokens of the sequence that fills the cache have to be fed in one call."""
        found, position = [], 0
        for token, run in itertools.groupby(self.whole[0].tolist()):
            length = len(list(run))
            if token == self.together:
                found.append(range(position, position + length))
            position += length
        return found

    @property
    def first(self) -> int:
        """The sequence that fills the cache."""
        return longest(self.sequences)

    @property
    def whole(self) -> Tensor:
        """[1, max_seq_len] token ids of the sequence that fills the cache."""
        return torch.tensor([fill(self.sequences, self.max_seq_len, self.filler)])

    @property
    def last(self) -> int:
        """The sequence that is fed after the first."""
        return another(self.sequences)

    @property
    def other(self) -> Tensor:
        """[1, n] token ids of a sequence that is not the one that fills the cache."""
        return torch.tensor([self.sequences[self.last]])

    def about(self, session: GenerationSession, index: int) -> None:
        """Let a session begin the sequence of a prompt."""
        if self.conditions:
            cast(ConditionedSession, session).condition(self.conditions[index])
        else:
            session.reset()


@dataclass(frozen=True)
class Answers:
    """What one session answers to the reference. Of a model without an output layer, hidden states take the place of logits."""

    generations: tuple[Generation, ...]
    """What it says to each prompt; nothing where the task is not to say anything."""
    logits: tuple[Tensor, ...]
    """For each sequence the logits that are compared: [n, vocabulary]."""
    whole: Tensor
    """Logits of the sequence that fills the cache, from one pass: [max_seq_len, vocabulary]."""
    other: Tensor
    """Logits of another sequence."""


@dataclass(frozen=True)
class Judgement:
    """What a task judges."""

    model: Model
    config: ExportConfig
    tolerance: Tolerance
    fp32: Answers
    """Of the checkpoint in eager fp32."""
    expected: Answers
    """Of the baseline, which rounds as the program does."""
    found: Answers
    """Of the program."""
    trained: bool
    """Whether the weights mean something."""
    tokenizer: Any


class AnswersOf(Protocol):
    """Asks a session."""

    def __call__(
        self, session: GenerationSession, reference: Reference, eos: frozenset[int], *, guess: bool
    ) -> tuple[tuple[Generation, ...], tuple[Tensor, ...]]:
        """What the session says, and the logits to compare.

        Args:
            session: The program's, or eager PyTorch's.
            reference: What it is fed.
            eos: The tokens that end a text.
            guess: Feed the continuations of the reference in one call, as long as they are what it says. A program must say
                them token by token.
        """


class Opener(Protocol):
    """Opens a program."""

    def __call__(
        self, path: Path, *, expected: ProgramFile | None = None, threads: int = 1, verify: bool = True
    ) -> ExecuTorchSession: ...


@dataclass(frozen=True)
class Task:
    """What is particular to a task."""

    reference: Callable[[Model, CellRequest, Path, Any, Any, int], Reference]
    """From the model, the request, the checkpoint, its tokenizer, the eager model and the cache length."""
    answers: AnswersOf
    vacuous: Callable[[Answers], str | None]
    """Why the baseline proves nothing; ``None`` if it does prove something."""
    judge: Callable[[Judgement, Record], None]
    """Adds the task's checks to the record."""
    session: Opener = ExecuTorchSession
    """The program, as a session."""
    eager: Callable[[Any, int, ExportConfig], GenerationSession] = eager_session
    """The session of a transformers model, with a cache as long and as the configuration has it."""
    signature: Callable[[Model, Any, Artifact, Reference], Signature] = causal_signature
    """What the program must take and answer, from the row, the eager model, the artifact and the reference."""
    further: Callable[[GenerationSession, GenerationSession, Reference, Tolerance, Path], Mapping[str, Check]] | None = None
    """Further checks, of the program's session against the baseline's."""


@dataclass(frozen=True)
class _Prepared:
    """What is there before anything is exported."""

    checkpoint: Path
    tokenizer: Any
    model: Any
    """The checkpoint in eager PyTorch."""
    reference: Reference
    config: ExportConfig
    eager: GenerationSession


def runner(task: Task) -> Runner:
    """Runs a cell of the task."""
    return functools.partial(_run, task)


def bencher(task: Task) -> Bencher:
    """Prepares a cell of the task for being timed, without comparing anything."""
    return functools.partial(_bench, task)


def _prepared(task: Task, model: Model, request: CellRequest, checkpoint: Path) -> _Prepared:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
    eager_model = stages.loaded(model, checkpoint)
    length = _max_seq_len(model, request, checkpoint, eager_model)
    reference = task.reference(model, request, checkpoint, tokenizer, eager_model, length)
    config = ExportConfig.from_id(
        request.configuration, max_seq_len=reference.max_seq_len, max_source_len=reference.max_source_len
    )
    eager = task.eager(eager_model, reference.max_seq_len, ExportConfig())
    return _Prepared(checkpoint, tokenizer, eager_model, reference, config, eager)


def _bench(task: Task, model: Model, request: CellRequest, trail: Trail) -> Bench:
    checkpoint = stages.resolved(model, request, trail)
    with trail.stage("baseline"):
        ready = _prepared(task, model, request, checkpoint)
    return Bench(
        checkpoint=checkpoint,
        config=ready.config,
        eager=ready.eager,
        open=functools.partial(task.session, threads=request.threads),
        measure=functools.partial(_measure, ready.reference),
        phases=_phases(ready.reference),
    )


def _phases(reference: Reference) -> dict[str, Phase]:
    tokens, prompt = reference.whole, _prompt_tokens(reference)
    steps = min(latency.DECODE_TOKENS, tokens.shape[1] - prompt)

    def begin(session: GenerationSession) -> None:
        reference.about(session, reference.first)
        session.reset()

    def prefill(session: GenerationSession) -> Tensor:
        return session.forward(tokens[:, :prompt], 0)

    def prefilled(session: GenerationSession) -> None:
        begin(session)
        prefill(session)

    def decode(session: GenerationSession) -> None:
        for position in range(prompt, prompt + steps):
            session.forward(tokens[:, position : position + 1], position)

    found = {"prefill": Phase(begin, prefill), "decode": Phase(prefilled, decode, steps)}
    if reference.conditions and reference.conditions[reference.first]:
        found["encode"] = Phase(lambda session: session.reset(), lambda session: reference.about(session, reference.first))
    return found


def _run(task: Task, model: Model, request: CellRequest, trail: Trail, record: Record) -> None:
    """Fill in ``record``; raises whatever ends the cell early."""
    checkpoint = stages.resolved(model, request, trail, record)
    with trail.stage("baseline"):
        ready = _prepared(task, model, request, checkpoint)
        tokenizer, eager_model, reference, config, eager = (
            ready.tokenizer,
            ready.model,
            ready.reference,
            ready.config,
            ready.eager,
        )
        limits = tolerance(config)
        eos = eos_ids(eager_model)
        fp32 = _answers(task, eager, reference, eos, guess=True)
        empty = task.vacuous(fp32) or _untaught(reference, fp32)
        expected, rounding = fp32, eager
        if config.reduces:
            rounding = baseline(checkpoint, config, reference.max_seq_len, task=model.task, session=task.eager)
            expected = _answers(task, rounding, reference, eos, guess=True)
    record.max_seq_len = reference.max_seq_len
    record.sliding_window = window = _window(eager_model)
    artifact = stages.exported(checkpoint, config, model, request, trail, record)
    account = artifact.account
    opener = functools.partial(task.session, artifact.program, expected=account.file, threads=request.threads)
    with trail.stage("open"):
        session = opener()
        record.checks["contract"] = check_contract(
            model,
            artifact,
            session,
            task.signature(model, eager_model, artifact, reference),
            unquantized_bytes=stages.weight_bytes(eager_model, config),
            linear_layers=stages.linear_layers(eager_model, config),
        )
    with trail.stage("run"):
        found = _answers(task, session, reference, eos, guess=False)
        cache_state = check_cache_state(
            session,
            Known(reference.whole, expected.whole, functools.partial(reference.about, index=reference.first), reference.spans),
            Known(reference.other, expected.other, functools.partial(reference.about, index=reference.last)),
            window=smallest_window(config) or window,
            tolerance=limits,
            one_token=not config.dynamic_shapes,
        )
        further = task.further(session, rounding, reference, limits, checkpoint) if task.further is not None else {}
    trained = request.scale != "full"
    with trail.stage("compare"):
        record.checks["cache_state"] = cache_state
        record.checks.update(further)
        task.judge(Judgement(model, config, limits, fp32, expected, found, trained, tokenizer), record)
        stages.call_off(record, empty)
    with trail.stage("measure"):
        record.latency = _latency(opener, eager, session, reference, request, checkpoint, model.task)
        ratio = record.latency["executorch"]["decode_speedup"]
        record.checks["latency"] = Check(
            status="pass",
            message=f"decode {record.latency['executorch']['decode_tokens_per_second']:.0f} tokens/s, {ratio:.2f} times "
            "eager; recorded, not judged",
        )
        record.checks["memory"] = _memory(reference, session)


def _max_seq_len(model: Model, request: CellRequest, checkpoint: Path, eager: Any) -> int:
    """The cache length: the one a twin was trained on, or the one asked for."""
    if (checkpoint / "reference.json").is_file():
        if request.max_seq_len is not None:
            raise ZooError(f"{checkpoint} is a twin: its cache length is the {model.twin.max_seq_len} it was trained on.")
        return model.twin.max_seq_len
    context = getattr(eager.config.get_text_config(), "max_position_embeddings", DEFAULT_MAX_SEQ_LEN)
    max_seq_len = request.max_seq_len or min(DEFAULT_MAX_SEQ_LEN, context)
    if max_seq_len > context:
        raise ZooError(f"max_seq_len {max_seq_len} exceeds the model's context of {context}; use at most {context}.")
    return max_seq_len


def _answers(task: Task, session: GenerationSession, reference: Reference, eos: frozenset[int], *, guess: bool) -> Answers:
    generations, logits = task.answers(session, reference, eos, guess=guess)
    reference.about(session, reference.first)
    whole = session.forward(reference.whole, 0).clone()
    reference.about(session, reference.last)
    other = session.forward(reference.other, 0).clone()
    return Answers(generations=generations, logits=logits, whole=whole, other=other)


def _untaught(reference: Reference, fp32: Answers) -> str | None:
    """Why the baseline proves nothing: it does not say what it was trained to say."""
    if not reference.taught:
        return None
    pairs = zip(reference.prompts, reference.sequences, strict=True)
    return untaught(
        [sequence[len(prompt) :] for prompt, sequence in pairs],
        [said.tokens for said in fp32.generations],
        logits=fp32.logits,
        margin=reference.margin,
    )


def _memory(reference: Reference, session: GenerationSession) -> Check:
    """``check_memory`` of everything that a request takes: what it is about, its prompt, and a token."""
    tokens, prompt = reference.whole, _prompt_tokens(reference)

    def request() -> None:
        reference.about(session, reference.first)
        session.forward(tokens[:, :prompt], 0)
        session.forward(tokens[:, prompt : prompt + 1], prompt)

    return check_memory(request, calls=2)


def _latency(
    opener: Any,
    eager: GenerationSession,
    session: GenerationSession,
    reference: Reference,
    request: CellRequest,
    checkpoint: Path,
    task: str,
) -> dict[str, Any]:
    from exporters.pipeline import load_model

    measured = _measure(reference, {"eager": eager, "executorch": session})
    measured["threads"] = request.threads
    for name, figures in latency.measure_loads(
        {"eager": lambda: load_model(checkpoint, task=task), "executorch": functools.partial(opener, verify=False)}
    ).items():
        measured[name] |= figures
    return measured


def _measure(reference: Reference, sessions: Mapping[str, GenerationSession], **options: Any) -> dict[str, Any]:
    """``latency.measure`` of the sequence that fills the cache."""
    for session in sessions.values():
        reference.about(session, reference.first)
    return latency.measure(
        sessions,
        reference.whole[0].tolist(),
        prompt_tokens=_prompt_tokens(reference),
        **options,
    )


def _prompt_tokens(reference: Reference) -> int:
    """How many tokens are prefilled before latency is measured."""
    return max(reference.least_prompt, min(32, reference.max_seq_len // 2))


def eos_ids(model: Any) -> frozenset[int]:
    """The tokens that end a text of a transformers model."""
    return frozenset(special_tokens(model.config, getattr(model, "generation_config", None))[1])


def smallest_window(config: ExportConfig) -> int | None:
    """The smallest window that the configuration gives a layer."""
    if config.attention_sink is not None:
        return config.attention_sink[1]
    return min((window for window in config.local_windows or () if window), default=None)


def _window(model: Any) -> int | None:
    """The smallest sliding window of the model's layers, as transformers' own cache sees it."""
    from transformers import DynamicCache

    windows = [
        layer.sliding_window for layer in DynamicCache(config=model.config).layers if getattr(layer, "is_sliding", False)
    ]
    return min(windows, default=None)
