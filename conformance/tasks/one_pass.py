"""A cell of a model of one pass, without a state between calls: what every task of one goes through, from checkpoint to
measurement. What a task asks of it and how it judges the answers is a ``Task``."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from conformance import latency
from conformance.compare.contract import Signature, check_contract
from conformance.compare.memory import check_memory
from conformance.compare.shapes import Align, as_it_is, check_shapes, other_shape
from conformance.compare.tolerance import Tolerance, tolerance
from conformance.record import Check, Record
from conformance.sessions.eager import EagerInference, baseline_inference
from conformance.sessions.executorch import ExecuTorchInference
from conformance.sessions.protocol import InferenceSession
from conformance.tasks import Bench, Bencher, Phase, Runner, stages
from conformance.trail import CellRequest, Trail
from exporters.artifact import Artifact
from exporters.config import ExportConfig
from zoo.model import Model

Inputs = Mapping[str, Tensor]


@dataclass(frozen=True)
class Examples:
    """What the sessions are fed."""

    inputs: tuple[Inputs, ...]
    """The inputs of each example, as ``InferenceSession.infer`` takes them."""
    targets: tuple[Any, ...]
    """What the answer to each is judged by; its form is the task's."""
    max_seq_len: int | None
    """Tokens of a text at most; ``None`` for images and sounds."""
    taught: bool = False
    """Whether the targets are what the checkpoint was trained to answer."""
    margin: float | None = None
    """The smallest margin, in logits, with which it answered so when its training ended; ``None`` if that is not known."""
    max_source_len: int | None = None
    """Samples of a sound at most; ``None`` for others."""


@dataclass(frozen=True)
class Judgement:
    """What a task judges: answers to each example in turn, each as ``InferenceSession.infer`` gives them."""

    examples: Examples
    config: ExportConfig
    tolerance: Tolerance
    fp32: tuple[Tensor, ...]
    """Of the checkpoint in eager fp32."""
    expected: tuple[Tensor, ...]
    """Of the baseline, which rounds as the program does."""
    found: tuple[Tensor, ...]
    """Of the program."""
    trained: bool
    """Whether the weights mean something."""


@dataclass(frozen=True)
class Task:
    """What is particular to a task."""

    examples: Callable[[Model, CellRequest, Path, Any], Examples]
    """From the model, the request, the checkpoint and the eager model."""
    signature: Callable[[Any, Artifact], Signature]
    """What the program must take and answer, from the checkpoint's transformers configuration and the artifact."""
    vacuous: Callable[[Examples, tuple[Tensor, ...]], str | None]
    """Why the baseline's answers prove nothing; ``None`` if they do prove something."""
    judge: Callable[[Judgement, Record], None]
    """Adds the task's checks to the record."""
    align: Align = as_it_is
    """Puts the rows of an answer in the order of the baseline's, where their order means nothing."""


def runner(task: Task) -> Runner:
    """Runs a cell of the task."""
    return functools.partial(_run, task)


def bencher(task: Task) -> Bencher:
    """Prepares a cell of the task for being timed, without comparing anything."""
    return functools.partial(_bench, task)


def _configured(request: CellRequest, examples: Examples) -> ExportConfig:
    return ExportConfig.from_id(request.configuration, max_seq_len=examples.max_seq_len, max_source_len=examples.max_source_len)


def _bench(task: Task, model: Model, request: CellRequest, trail: Trail) -> Bench:
    checkpoint = stages.resolved(model, request, trail)
    with trail.stage("baseline"):
        eager_model = stages.loaded(model, checkpoint)
        examples = task.examples(model, request, checkpoint, eager_model)
    return Bench(
        checkpoint=checkpoint,
        config=_configured(request, examples),
        eager=EagerInference(eager_model),
        open=functools.partial(ExecuTorchInference, threads=request.threads),
        measure=functools.partial(latency.measure_inference, inputs=examples.inputs[0]),
        phases={"infer": Phase(lambda _: None, lambda session: session.infer(examples.inputs[0]))},
    )


def _run(task: Task, model: Model, request: CellRequest, trail: Trail, record: Record) -> None:
    """Fill in ``record``; raises whatever ends the cell early."""
    from exporters.pipeline import load_model

    checkpoint = stages.resolved(model, request, trail, record)
    with trail.stage("baseline"):
        eager_model = stages.loaded(model, checkpoint)
        examples = task.examples(model, request, checkpoint, eager_model)
        config = _configured(request, examples)
        eager = EagerInference(eager_model)
        fp32 = _answers(eager, examples)
        empty = task.vacuous(examples, fp32)
        rounding: InferenceSession = eager
        if config.reduces:
            rounding = baseline_inference(checkpoint, config, task=model.task)
        expected = _answers(rounding, examples) if config.reduces else fp32
    record.max_seq_len = examples.max_seq_len
    artifact = stages.exported(checkpoint, config, model, request, trail, record)
    account = artifact.account
    opener = functools.partial(ExecuTorchInference, artifact.program, expected=account.file, threads=request.threads)
    with trail.stage("open"):
        session = opener()
        record.checks["contract"] = check_contract(
            model,
            artifact,
            session,
            task.signature(eager_model.config, artifact),
            unquantized_bytes=stages.weight_bytes(eager_model, config),
            linear_layers=stages.linear_layers(eager_model, config),
        )
    limits = tolerance(config)
    with trail.stage("run"):
        found = _answers(session, examples)
        shapes = check_shapes(
            session, rounding, examples.inputs, examples.max_seq_len, limits, sounds=session.sounds, align=task.align
        )
    with trail.stage("compare"):
        misshapen = next(filter(None, map(other_shape, expected, found)), None)
        if misshapen is not None and shapes.status == "pass":
            shapes = Check(status="fail", message=f"an example: {misshapen}")
        record.checks["shapes"] = shapes
        if misshapen is None:
            task.judge(Judgement(examples, config, limits, fp32, expected, found, request.scale != "full"), record)
        stages.call_off(record, empty)
    with trail.stage("measure"):
        measured = latency.measure_inference({"eager": eager, "executorch": session}, examples.inputs[0])
        measured["threads"] = request.threads
        loads: dict[str, Callable[[], object]] = {
            "eager": lambda: load_model(checkpoint, task=model.task),
            "executorch": functools.partial(opener, verify=False),
        }
        for name, figures in latency.measure_loads(loads).items():
            measured[name] |= figures
        record.latency = measured
        program = measured["executorch"]
        record.checks["latency"] = Check(
            status="pass",
            message=f"{program['infer_ms']:.2f} ms a call, {program['infer_speedup']:.2f} times as fast as eager; recorded, "
            "not judged",
        )
        record.checks["memory"] = check_memory(lambda: [session.infer(examples.inputs[0]) for _ in range(2)], calls=2)


def _answers(session: InferenceSession, examples: Examples) -> tuple[Tensor, ...]:
    return tuple(session.infer(inputs).clone() for inputs in examples.inputs)
