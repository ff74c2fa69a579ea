"""A cell of the task ``text-generation``: what is run, compared and measured."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from conformance import latency
from conformance.artifacts import cached_export
from conformance.compare.cache_state import another, check_cache_state, fill
from conformance.compare.contract import check_contract, special_tokens
from conformance.compare.degeneracy import vacuous
from conformance.compare.logits import MAX_ABS_ERROR, compare_logits, judge_exact, judge_quality, judge_quantized
from conformance.compare.tokens import TokenComparison, compare_tokens, judge_tokens
from conformance.generate import Generation, generate
from conformance.record import Check, GenerationRecord, Record, StageRecord
from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession
from conformance.sessions.protocol import GenerationSession
from conformance.trail import CellRequest, Trail
from exporters.config import ExportConfig
from zoo.checkpoints import resolve
from zoo.errors import ZooError
from zoo.model import Model

DEFAULT_MAX_SEQ_LEN = 128
"""Cache length of cells at other scales than ``twin``."""
NEW_TOKENS = 32
"""Tokens decoded for each prompt there; a twin decodes until its cache is full."""


@dataclass(frozen=True)
class Reference:
    """What the sessions are fed."""

    prompts: tuple[tuple[int, ...], ...]
    """Token ids of the reference prompts."""
    sequences: tuple[tuple[int, ...], ...]
    """Each prompt with its continuation, for teacher forcing."""
    max_seq_len: int
    new_tokens: int
    """Tokens to decode for each prompt, if the cache has room for them."""


@dataclass(frozen=True)
class Answers:
    """What one session answers to the reference."""

    generations: tuple[Generation, ...]
    logits: tuple[Tensor, ...]
    """For each sequence the logits that predict its continuation: [n, vocabulary]."""
    whole: Tensor
    """Logits of the sequence that fills the cache, from one pass: [max_seq_len, vocabulary]."""
    other: Tensor
    """Logits of another sequence."""


def run(model: Model, request: CellRequest, trail: Trail, record: Record) -> None:
    """Fill in ``record``; raises whatever ends the cell early."""
    from transformers import AutoTokenizer

    from exporters.pipeline import load_model
    from exporters.quantize import quantize

    torch.set_num_threads(request.threads)
    with trail.stage("resolve"):
        checkpoint = resolve(model, request.scale)
        if request.scale == "hub":
            record.revision = checkpoint.name  # a snapshot is named by its commit, whether the row pins one or not
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=False, local_files_only=True)
    with trail.stage("baseline"):
        eager_model = load_model(checkpoint)
        found_type = eager_model.config.model_type
        if found_type != model.twin.model_type:
            raise ZooError(f"the checkpoint {checkpoint} is a {found_type}, and {model.name} is a {model.twin.model_type}.")
        reference = _reference(model, request, checkpoint, tokenizer, eager_model)
        config = ExportConfig.from_id(request.configuration, max_seq_len=reference.max_seq_len)
        eos = _eos_ids(eager_model)
        eager = EagerSession(eager_model, reference.max_seq_len)
        fp32 = _answers(eager, reference, eos)
        empty = vacuous(fp32.logits, fp32.generations)
        baseline = fp32
        if config.quantized:
            quantized_model = load_model(checkpoint)
            quantize(quantized_model, config)
            baseline = _answers(EagerSession(quantized_model, reference.max_seq_len), reference, eos)
    record.max_seq_len = reference.max_seq_len
    record.sliding_window = window = _window(eager_model)
    trail.begin("quantize")
    artifact, cached = cached_export(
        checkpoint, config, task=model.task, stock_lowering=request.stock_lowering, on_stage=trail.note
    )
    account = artifact.account
    for stage in account.stages if cached else ():
        trail.end(StageRecord(**stage.model_dump(), cached=True))
    record.file_bytes, record.file_sha256 = account.file.bytes, account.file.sha256
    record.delegated_share = account.delegation.share
    record.quantization, record.cache = account.quantization, account.cache
    record.checks["export"] = Check(
        status="pass",
        message=f"{account.file.bytes} bytes, {account.delegation.share:.0%} of the operators delegated",
        metrics={"bytes": account.file.bytes, "delegates": account.delegation.delegates},
    )
    opener = functools.partial(ExecuTorchSession, artifact.program, expected=account.file, threads=request.threads)
    with trail.stage("open"):
        session = opener()
        record.checks["contract"] = check_contract(
            model,
            eager_model.config,
            eager_model.generation_config,
            artifact,
            session,
            unquantized_bytes=_weight_bytes(eager_model),
        )
    with trail.stage("run"):
        found = _answers(session, reference, eos)
        cache_state = check_cache_state(
            session,
            torch.tensor([fill(reference.sequences, reference.max_seq_len)]),
            baseline.whole,
            other=_other(reference),
            other_reference=baseline.other,
            window=window,
            quantized=config.quantized,
        )
    trained = request.scale != "full"
    with trail.stage("compare"):
        against = "eager-quantized" if config.quantized else "eager"
        logits = compare_logits(torch.cat(baseline.logits), torch.cat(found.logits))
        tie = 2 * (logits.max_abs_error if config.quantized else MAX_ABS_ERROR)
        tokens = [
            compare_tokens(first, second, tie=tie)
            for first, second in zip(baseline.generations, found.generations, strict=True)
        ]
        record.checks["logits"] = judge_quantized(logits, trained=trained) if config.quantized else judge_exact(logits)
        record.checks["tokens"] = judge_tokens(tokens, against=against)
        record.checks["cache_state"] = cache_state
        if config.quantized:
            record.checks["quality"] = _quality(fp32, found, trained=trained)
        if empty is not None:
            for name in ("logits", "tokens", "cache_state", "quality"):
                if name in record.checks:
                    record.checks[name] = Check(status="inconclusive", message=f"proves nothing: {empty}")
        record.generations = _generations(model, baseline, found, tokens, tokenizer)
    with trail.stage("measure"):
        record.latency = _latency(opener, eager, session, reference, request, checkpoint)
        ratio = record.latency["executorch"]["decode_speedup"]
        record.checks["latency"] = Check(
            status="pass",
            message=f"decode {record.latency['executorch']['decode_tokens_per_second']:.0f} tokens/s, {ratio:.2f} times "
            "eager; recorded, not judged",
        )


def _reference(model: Model, request: CellRequest, checkpoint: Path, tokenizer: Any, eager: Any) -> Reference:
    """The token ids that a twin was trained on; for other checkpoints the prompts and what eager PyTorch answers."""
    path = checkpoint / "reference.json"
    if path.is_file():
        stored = json.loads(path.read_text(encoding="utf-8"))
        samples = stored["samples"]
        if request.max_seq_len is not None:
            raise ZooError(f"{checkpoint} is a twin: its cache length is the {stored['max_seq_len']} it was trained on.")
        return Reference(
            prompts=tuple(tuple(sample["tokens"][: sample["prompt_length"]]) for sample in samples),
            sequences=tuple(tuple(sample["tokens"]) for sample in samples),
            max_seq_len=stored["max_seq_len"],
            new_tokens=stored["max_seq_len"],
        )
    context = getattr(eager.config.get_text_config(), "max_position_embeddings", DEFAULT_MAX_SEQ_LEN)
    max_seq_len = request.max_seq_len or min(DEFAULT_MAX_SEQ_LEN, context)
    if max_seq_len > context:
        raise ZooError(f"max_seq_len {max_seq_len} exceeds the model's context of {context}; use at most {context}.")
    session = EagerSession(eager, max_seq_len)
    prompts = tuple(tuple(tokenizer(prompt.text)["input_ids"]) for prompt in model.reference_prompts)
    continuations = (generate(session, prompt, max_new_tokens=NEW_TOKENS, eos_ids=_eos_ids(eager)) for prompt in prompts)
    return Reference(
        prompts=prompts,
        sequences=tuple((*said.prompt, *said.tokens) for said in continuations),
        max_seq_len=max_seq_len,
        new_tokens=NEW_TOKENS,
    )


def _answers(session: GenerationSession, reference: Reference, eos: frozenset[int]) -> Answers:
    generations = tuple(
        generate(session, prompt, max_new_tokens=min(reference.new_tokens, reference.max_seq_len - len(prompt)), eos_ids=eos)
        for prompt in reference.prompts
    )
    logits = []
    for prompt, sequence in zip(reference.prompts, reference.sequences, strict=True):
        session.reset()
        logits.append(session.forward(torch.tensor([sequence]), 0)[len(prompt) - 1 : -1].clone())
    session.reset()
    whole = session.forward(torch.tensor([fill(reference.sequences, reference.max_seq_len)]), 0).clone()
    session.reset()
    other = session.forward(_other(reference), 0).clone()
    return Answers(generations=generations, logits=tuple(logits), whole=whole, other=other)


def _other(reference: Reference) -> Tensor:
    """[1, n] token ids of a sequence that is not the one that fills the cache."""
    return torch.tensor([another(reference.sequences)])


def _quality(fp32: Answers, found: Answers, *, trained: bool) -> Check:
    alike = [first.tokens == second.tokens for first, second in zip(fp32.generations, found.generations, strict=True)]
    comparison = compare_logits(torch.cat(fp32.logits), torch.cat(found.logits))
    return judge_quality(comparison, sum(alike) / len(alike), trained=trained)


def _generations(
    model: Model, baseline: Answers, found: Answers, tokens: list[TokenComparison], tokenizer: Any
) -> list[GenerationRecord]:
    return [
        GenerationRecord(
            prompt=prompt.text,
            prompt_tokens=len(said.prompt),
            reference=list(expected.tokens),
            tokens=list(said.tokens),
            text=tokenizer.decode(said.tokens, skip_special_tokens=True),
            stop=said.stop,
            smallest_margin=min(said.margins),
            diverged_at=comparison.diverged_at,
        )
        for prompt, expected, said, comparison in zip(
            model.reference_prompts, baseline.generations, found.generations, tokens, strict=True
        )
    ]


def _latency(
    opener: Any,
    eager: EagerSession,
    session: ExecuTorchSession,
    reference: Reference,
    request: CellRequest,
    checkpoint: Path,
) -> dict[str, Any]:
    from exporters.pipeline import load_model

    tokens = fill(reference.sequences, reference.max_seq_len)
    measured = latency.measure(
        {"eager": eager, "executorch": session}, tokens, prompt_tokens=min(32, reference.max_seq_len // 2)
    )
    measured["threads"] = request.threads
    for name, figures in latency.measure_loads(
        {"eager": lambda: load_model(checkpoint), "executorch": functools.partial(opener, verify=False)}
    ).items():
        measured[name] |= figures
    return measured


def _eos_ids(model: Any) -> frozenset[int]:
    return frozenset(special_tokens(model.config, model.generation_config)[1])


def _window(model: Any) -> int | None:
    """The smallest sliding window of the model's layers, as transformers' own cache sees it."""
    from transformers import DynamicCache

    windows = [layer.sliding_window for layer in DynamicCache(config=model.config).layers if layer.is_sliding]
    return min(windows, default=None)


def _weight_bytes(model: Any) -> int:
    """Bytes of the linear and embedding weights in fp32, a tied weight counted once."""
    weights = {id(parameter): parameter.numel() for parameter in model.parameters() if parameter.dim() == 2}
    total: int = 4 * sum(weights.values())
    return total
