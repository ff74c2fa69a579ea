"""The table at the end of the lowering benchmark."""

import statistics

import pytest

TABLE = pytest.StashKey[list]()


@pytest.fixture
def lowering_table(request):
    """Rows of the table: cell, seconds of the export, lowerings as upstream does it, lowerings of ours, equal bytes."""
    return request.config.stash.setdefault(TABLE, [])


def pytest_terminal_summary(terminalreporter, config):
    rows = config.stash.get(TABLE, [])
    if not rows:
        return
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
