"""Lowering as upstream does it and with ``exporters.lowering``, interleaved: ``pytest benchmarks/test_lowering.py``.

Each cell is traced once, and that program is lowered both ways by turns, each time in a child process of its own.
pytest-benchmark's table has ours, from the fork to the digest of the program; the table at the end has both ways, their ratio,
the peak memory, and whether the bytes are equal (nothing else fails). ``--scale twin``: the matrix's columns of three models.
``--scale full``: the published size of SmolLM2-135M, in fp32 and at 8da4w with an 8-bit embedding.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from conformance import matrix
from conformance.compare.lowering import lowered
from conformance.tasks.decoder import DEFAULT_MAX_SEQ_LEN
from exporters import ExportConfig
from zoo import registry
from zoo.checkpoints import resolve

MODELS = ("smollm2-135m", "qwen3-0.6b", "gemma3-270m")
FULL = ("xnnpack-fp32-sdpa-kv", "xnnpack-fp32-sdpa-kv-8da4w-emb8w")


def pytest_generate_tests(metafunc):
    twin = (metafunc.config.getoption("--scale") or "twin") == "twin"
    chosen = (MODELS, matrix.CORE[matrix.DECODER]) if twin else (MODELS[:1], FULL)
    cells = matrix.cells(registry.select(chosen[0]), chosen[1])
    metafunc.parametrize("cell", cells, ids=lambda cell: cell.name)


@pytest.fixture
def worker():
    """A process with the stack imported and no threads, which keeps a traced model and forks a child for each lowering."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["conformance.preload"])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        yield lambda function, *args: pool.submit(function, *args).result()


kept = {}


def trace_cell(name, configuration, scale):
    """In the worker: trace a cell and keep it. Returns the seconds of ``torch.export``."""
    import torch

    from exporters import recipes
    from exporters.pipeline import load_model, register_operators, trace
    from exporters.quantize import quantize
    from exporters.spelling import spell_out_linear_layers

    register_operators()
    model = registry.get(name)
    config = ExportConfig.from_id(configuration, max_seq_len=model.twin.max_seq_len if scale == "twin" else DEFAULT_MAX_SEQ_LEN)
    with torch.no_grad():
        loaded = load_model(resolve(model, scale), task=model.task, dtype=config.dtype)
        spell_out_linear_layers(loaded)
        quantize(loaded, config)
        recipes.prepare(loaded, config)
        began = time.perf_counter()
        kept["traced"] = trace(loaded, model.task, config), config
        return time.perf_counter() - began


def lower_kept(stock):
    """In the worker, which has no threads: lower what it keeps, in a forked child, so that what that changes stays there."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(lowered(*kept["traced"], stock=stock)))
    child.start()
    sender.close()  # so that a child that dies ends the pipe: recv raises EOFError
    try:
        return receiver.recv()
    finally:
        child.join()


def test_lowering(benchmark, request, cell, worker, lowering_table):
    scale = request.config.getoption("--scale") or "twin"
    export_seconds = worker(trace_cell, cell.model.name, cell.configuration, scale)
    stock, ours = [], []
    benchmark.group = "lowering"
    benchmark.pedantic(
        lambda: ours.append(worker(lower_kept, False)),
        setup=lambda: stock.append(worker(lower_kept, True)),
        rounds=2 if scale == "twin" else 1,
    )
    equal = len({entry.sha256 for entry in (*stock, *ours)}) == 1
    lowering_table.append((f"{cell.name} ({scale})", export_seconds, stock, ours, equal))
    assert equal
