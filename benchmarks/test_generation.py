"""Eager PyTorch and the exported program of three models, side by side: ``pytest benchmarks``.

One group a model and phase, so that pytest-benchmark prints both in one table with their ratio. Figures that are compared
over time come from the interleaved measurement in the records; these are for looking at. Programs come from the artifact
cache; ``--scale full`` measures the published sizes.
"""

import functools

import pytest
import torch

from conformance.artifacts import cached_export
from conformance.quiet import quiet
from conformance.sessions.eager import EagerSession
from conformance.sessions.executorch import ExecuTorchSession
from exporters import ExportConfig
from exporters.pipeline import load_model
from zoo import registry
from zoo.checkpoints import resolve

quiet()

MAX_SEQ_LEN = 64
PROMPT_TOKENS = 32
DECODE_TOKENS = 16
CONFIGURATIONS = ("xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w")
MODELS = [registry.get(name) for name in ("smollm2-135m", "qwen3-0.6b", "gemma3-270m")]


@functools.cache
def session(name, kind, scale, threads):
    model = registry.get(name)
    checkpoint = resolve(model, scale)
    if kind == "eager":
        return EagerSession(load_model(checkpoint), MAX_SEQ_LEN)
    config = ExportConfig.from_id(kind, max_seq_len=MAX_SEQ_LEN)
    artifact, _ = cached_export(checkpoint, config, task=model.task)
    return ExecuTorchSession(artifact.program, expected=artifact.account.file, threads=threads)


@pytest.fixture(params=("eager", *CONFIGURATIONS))
def subject(request, model):
    threads = request.config.getoption("--threads")
    torch.set_num_threads(threads)
    return session(model.name, request.param, request.config.getoption("--scale"), threads)


@pytest.fixture(params=MODELS, ids=lambda model: model.name)
def model(request):
    return request.param


TOKENS = torch.randint(3, 300, (1, MAX_SEQ_LEN), generator=torch.Generator().manual_seed(0))


def test_prefill(benchmark, model, subject):
    benchmark.group = f"{model.name}: prefill of {PROMPT_TOKENS} tokens"

    def prefill():
        subject.reset()
        return subject.forward(TOKENS[:, :PROMPT_TOKENS], 0)

    assert benchmark(prefill).shape[0] == PROMPT_TOKENS


def test_decode(benchmark, model, subject):
    benchmark.group = f"{model.name}: decode of {DECODE_TOKENS} tokens"

    def start():
        subject.reset()
        subject.forward(TOKENS[:, :PROMPT_TOKENS], 0)

    def decode():
        for position in range(PROMPT_TOKENS, PROMPT_TOKENS + DECODE_TOKENS):
            subject.forward(TOKENS[:, position : position + 1], position)

    benchmark.pedantic(decode, setup=start, rounds=20, warmup_rounds=2)
