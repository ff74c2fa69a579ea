"""Eager PyTorch, torch.compile and the exported programs of a model, side by side at published size: ``pytest benchmarks
--benchmark-only``.

One group a model and phase (encode, prefill and decode, or a call), so that pytest-benchmark's table has them with their ratio;
a table at the end has them all, with the share of the memory roofline of a decoded token. Weights are seeded random ones: they
say nothing of quality and everything of speed. Programs come from the artifact cache; the first run makes them. With
``--scale twin`` it measures the twins. Figures that are compared over time come from the interleaved measurement in the
records; these are for looking at.
"""

import copy
import functools
import gc
import os

import pytest
import torch

from conformance import matrix, tasks
from conformance.artifacts import cached_export
from conformance.quiet import quiet
from conformance.roofline import decode_weights, read_bandwidth, share
from conformance.trail import CellRequest, Trail
from zoo import registry

quiet()

MODELS = (
    "smollm2-135m",
    "gemma3-270m",
    "t5-small",
    "whisper-tiny",
    "wav2vec2-base",
    "smolvlm-256m",
    "distilbert-base",
    "all-minilm-l6",
    "vit-base",
    "mobilenet-v2-1.0",
    "yolos-tiny",
)
"""Models of at most 300 million parameters, one of each task at least. ``audio-text-to-text`` has none of that size: the
smallest in the registry has 3 billion."""
EAGER, COMPILED = "eager", "torch.compile"
PHASES = {
    "CausalLMExportableModule": ("prefill", "decode"),
    "Seq2SeqLMExportableModule": ("encode", "prefill", "decode"),
    "MultiModalTextToTextExportableModule": ("encode", "prefill", "decode"),
}
"""The parts of what a model does, by wrapper; one call of the others."""
MAX_SEQ_LEN = {"smolvlm-256m": 256}
"""Positions of the cache where a question with an image does not fit into 128."""
ROUNDS, WARM_UP = 15, 3
PORTABLE = "portable-fp32"
"""Left out at published sizes: its convolutions take seconds a call."""


def pytest_generate_tests(metafunc):
    cases = []
    for name in MODELS:
        model = registry.get(name)
        ways = [way for way in matrix.CORE[model.wrapper] if way != PORTABLE]
        cases += [
            pytest.param(name, way, phase, id=f"{name}-{way}-{phase}")
            for way in (EAGER, COMPILED, *ways)
            for phase in PHASES.get(model.wrapper, ("infer",))
        ]
    metafunc.parametrize(("name", "way", "phase"), cases)


@pytest.fixture(scope="session")
def settings(request, tmp_path_factory):
    """Scale, threads, and a place for breadcrumbs."""
    threads = request.config.getoption("--threads")
    torch.set_num_threads(threads)
    return request.config.getoption("--scale") or "full", threads, tmp_path_factory.mktemp("trail")


@pytest.fixture(scope="session")
def bandwidth(settings):
    return read_bandwidth()


@functools.lru_cache(maxsize=1)
def opened(name, way, scale, threads, directory):
    """A model that is ready to be timed, and the session of one way of running it; one at a time is kept."""
    torch.compiler.reset()  # it keeps what it compiled, and the model with it
    gc.collect()
    model = registry.get(name)
    configuration = "xnnpack-fp32" if way in (EAGER, COMPILED) else way
    length = None if scale == "twin" else MAX_SEQ_LEN.get(name)
    request = CellRequest(name, configuration, os.fspath(directory), scale=scale, threads=threads, max_seq_len=length)
    ready = tasks.bencher(model)(model, request, Trail(directory))
    if way == EAGER:
        return ready, ready.eager
    if way == COMPILED:
        compiled = copy.copy(ready.eager)
        compiled.model = torch.compile(ready.eager.model)
        return ready, compiled
    artifact, _ = cached_export(ready.checkpoint, ready.config, task=model.task)
    return ready, ready.open(artifact.program, expected=artifact.account.file)


def test_model(benchmark, name, way, phase, settings, bandwidth, models_table):
    ready, session = opened(name, way, *settings)
    part = ready.phases[phase]
    benchmark.group = f"{name}: {phase}"
    benchmark.pedantic(lambda: part.work(session), setup=lambda: part.prepare(session), rounds=ROUNDS, warmup_rounds=WARM_UP)
    seconds = benchmark.stats.stats.median / part.steps
    benchmark.extra_info["seconds_per_step"] = seconds
    roof = None
    if phase == "decode":
        part.prepare(ready.eager)
        weights = decode_weights(ready.eager.model, lambda: part.work(ready.eager))
        read = weights.bytes(None if way in (EAGER, COMPILED) else ready.config)
        roof = share(read, seconds, bandwidth)
        benchmark.extra_info |= {"decode_bytes": read, "bandwidth": bandwidth, "roofline_share": roof}
    models_table.append((name, phase, way, seconds, roof))
