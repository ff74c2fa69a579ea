"""The tables at the end of the benchmarks."""

import itertools
import statistics

import pytest

LOWERING = pytest.StashKey[list]()
MODELS = pytest.StashKey[list]()


@pytest.fixture
def lowering_table(request):
    """Rows of the table: cell, seconds of the export, lowerings as upstream does it, lowerings of ours, equal bytes."""
    return request.config.stash.setdefault(LOWERING, [])


@pytest.fixture
def models_table(request):
    """Rows of the table: model, phase, way, seconds (of a token, in decoding), share of the memory roofline or ``None``."""
    return request.config.stash.setdefault(MODELS, [])


def pytest_terminal_summary(terminalreporter, config):
    if config.stash.get(MODELS, []):
        _models(terminalreporter, config.stash[MODELS])
    if config.stash.get(LOWERING, []):
        _lowering(terminalreporter, config.stash[LOWERING])


def _models(terminalreporter, rows):
    """A Markdown table, as docs/benchmarks.md has it."""
    terminalreporter.section("models: medians; decode is a token's")
    terminalreporter.line("| model | phase | way | ms | times eager | roofline |")
    terminalreporter.line("| --- | --- | --- | --- | --- | --- |")
    for (name, phase), group in itertools.groupby(sorted(rows, key=lambda row: row[:2]), key=lambda row: row[:2]):
        found = list(group)
        eager = next((seconds for _, _, way, seconds, _ in found if way == "eager"), None)
        for _, _, way, seconds, roof in found:
            ratio = "–" if eager is None else f"{eager / seconds:.2f}"
            share = "–" if roof is None else f"{roof:.0%}"
            terminalreporter.line(f"| {name} | {phase} | {way} | {1e3 * seconds:.2f} | {ratio} | {share} |")


def _lowering(terminalreporter, rows):
    terminalreporter.section("lowering: upstream / ours, shortest of the rounds")
    terminalreporter.line(f"{'cell':<52} {'lower s':>15} {'ratio':>6} {'cell %':>6} {'peak MB':>13} bytes")
    shares = []
    for name, export_seconds, stock, ours, equal in rows:
        before, after = (min(entry.lower_seconds for entry in entries) for entries in (stock, ours))
        whole = [export_seconds + min(entry.seconds for entry in entries) for entries in (stock, ours)]
        memory = [min(entry.peak_memory_bytes for entry in entries) / 1e6 for entries in (stock, ours)]
        shares.append(100 * whole[1] / whole[0])
        terminalreporter.line(
            f"{name:<52} {before:7.2f} {after:7.2f} {before / after:6.2f} {shares[-1]:6.0f} {memory[0]:6.0f} {memory[1]:6.0f} "
            f"{'equal' if equal else 'DIFFERENT'}"
        )
    terminalreporter.line(f"cell %: our export + lower + emit in percent of upstream's; median {statistics.median(shares):.0f}")
