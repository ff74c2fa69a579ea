"""The pytest plugin: options, parametrization over configurations, the ``record`` fixture, and the summary."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from conformance import matrix, runs
from conformance.errors import ConformanceError
from conformance.expectation_edits import suggestion
from conformance.inert import inert, inert_line
from conformance.matrix import Cell
from conformance.record import GREEN, GenerationRecord, Record, place, read
from conformance.reports.generated import RECORDS
from conformance.sharding import Shard, durations, partition
from conformance.suite import ModelConformance, check_known_failures, generations
from conformance.worker import Limits, Runner, new_run
from exporters.lowering import notice
from zoo import registry
from zoo.checkpoints import check_scale
from zoo.errors import ZooError

_RUNNER = pytest.StashKey[Runner]()
_CELLS = pytest.StashKey[Sequence[Cell]]()
_HOLD = pytest.StashKey[contextlib.ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("executorch-zoo", "conformance of models")
    group.addoption(
        "--scale",
        help="where weights come from: twin (default; of the models' benchmarks full), full, hub, or a checkpoint directory",
    )
    group.addoption(
        "--tier",
        default="default",
        help="which configurations of a model are run: smoke, default (what a pull request runs), nightly",
    )
    group.addoption("--threads", type=int, default=1, help="threads of PyTorch and of the runtime in a cell (default: 1)")
    group.addoption(
        "--cell-timeout", type=float, default=1800.0, metavar="SECONDS", help="time one cell may take (default: 1800)"
    )
    group.addoption(
        "--cell-memory",
        type=float,
        default=0.0,
        metavar="GIB",
        help="memory one cell may use (default: 80%% of the machine's)",
    )
    group.addoption("--shard", metavar="K/N", help="only this part of the tests: 2/5 is the second of five")
    group.addoption(
        "--stock-lowering",
        action="store_true",
        help="lower as ExecuTorch does, without our accelerations: the same bytes, later",
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With pytest -n, the tests of one cell go to one worker: another one would only wait for its record.

    pytest-xdist has groups for that (``--dist loadgroup``), but 3.8 writes them where pytest 9.2 does not read them.
    """
    if config.option.dist != "load":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class CellScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            found = re.fullmatch(r"(.+::Test\w+)::\w+(\[.+\])", nodeid)
            return "".join(found.groups()) if found else nodeid

    return CellScheduling(config, log)


def pytest_configure(config: pytest.Config) -> None:
    for option, least in (("--threads", 1), ("--cell-timeout", 1), ("--cell-memory", 0)):
        value = config.getoption(option)
        if not least <= value < 1e6:
            raise pytest.UsageError(f"{option} {value}: give a number from {least} to 1000000.")
    try:
        check_scale(config.getoption("--scale") or "twin")
        matrix.check_tier(config.getoption("--tier"))
        if config.getoption("--shard"):
            Shard.parse(config.getoption("--shard"))
    except (ZooError, ConformanceError) as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_HOLD] = contextlib.ExitStack()
    config.stash[_CELLS] = ()
    config.addinivalue_line("markers", "configurations(*ids): run this test of a model for these configurations only")
    config.addinivalue_line("markers", "tasks(*names): run this test of a model for these tasks only")
    config.addinivalue_line("markers", "wrappers(*names): run this test of a model for these wrappers only")
    config.addinivalue_line("markers", "reduced: run this test of a model for configurations that round or forget only")


def pytest_unconfigure(config: pytest.Config) -> None:
    if _HOLD in config.stash:
        config.stash[_HOLD].close()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Keep which cells are to be run: a run that is interrupted is continued by 'zoo run --resume'."""
    cells = {cell.name: cell for item in session.items if "record" in _fixtures(item) and (cell := _cell(item)) is not None}
    session.config.stash[_CELLS] = tuple(cells.values())


def _fixtures(item: pytest.Item) -> Sequence[str]:
    names: Sequence[str] = getattr(item, "fixturenames", ())
    return names


def _runner(config: pytest.Config) -> Runner:
    """The runner of this pytest run, made when the first cell is run; pytest-xdist's workers share one directory."""
    if _RUNNER not in config.stash:
        base = Path(config.rootpath) / ".zoo"
        worker = getattr(config, "workerinput", None)
        directory = new_run(base, f"pytest-{worker['testrunuid']}" if worker else None)
        options = {
            "scale": config.getoption("--scale") or "twin",
            "threads": config.getoption("--threads"),
            "max_seq_len": None,
            "stock_lowering": config.getoption("--stock-lowering"),
        }
        limits = Limits(seconds=config.getoption("--cell-timeout"), memory_bytes=int(config.getoption("--cell-memory") * 2**30))
        config.stash[_HOLD].enter_context(runs.held(directory, together=True))
        runs.describe(directory, runs.planned(config.stash[_CELLS], options=options))
        config.stash[_RUNNER] = Runner(directory, options=options, limits=limits)
    return config.stash[_RUNNER]


def _run_directory(config: pytest.Config) -> Path | None:
    """Where the records of this pytest run are, if any cell was run."""
    if _RUNNER in config.stash:
        return config.stash[_RUNNER].directory
    session = config.pluginmanager.getplugin("dsession")
    uid = getattr(getattr(session, "nodemanager", None), "testrunuid", None)
    return Path(config.rootpath) / ".zoo" / "runs" / f"pytest-{uid}" if uid else None


def _records(config: pytest.Config) -> Path | None:
    directory = _run_directory(config)
    return None if directory is None else directory / "records.jsonl"


def pytest_report_header(config: pytest.Config) -> str | None:
    """One line if lowering takes longer than it could."""
    return None if config.getoption("--stock-lowering") else notice()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    suite = metafunc.cls
    if suite is None or not issubclass(suite, ModelConformance) or "configuration" not in metafunc.fixturenames:
        return
    try:
        registry.check_declared(suite.model)
        check_known_failures(suite.model, suite.known_failures)
    except (ConformanceError, ZooError) as error:
        pytest.fail(str(error), pytrace=False)
    wanted = [mark.args for mark in metafunc.definition.iter_markers("configurations")]
    tier = metafunc.config.getoption("--tier")
    ids = [name for name in matrix.configurations(suite.model, tier) if all(name in chosen for chosen in wanted)]
    if metafunc.definition.get_closest_marker("reduced"):
        ids = [name for name in ids if matrix.reduces(name)]
    unknown = {name for chosen in wanted for name in chosen} - set(matrix.configurations(suite.model))
    if unknown:
        known = ", ".join(matrix.configurations(suite.model))
        pytest.fail(
            f"{metafunc.definition.nodeid}: no configuration {', '.join(sorted(unknown))}. Known: {known}.", pytrace=False
        )
    metafunc.parametrize("configuration", ids, scope="class")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take out the tests of a model that belong to another task or wrapper, or to configurations that are not of the tier."""
    elsewhere = [item for item in items if _belongs_elsewhere(item)]
    if elsewhere:
        config.hook.pytest_deselected(items=elsewhere)
        out = set(elsewhere)
        items[:] = [item for item in items if item not in out]
    if config.getoption("--shard"):
        _keep_shard(config, items, Shard.parse(config.getoption("--shard")))


def _keep_shard(config: pytest.Config, items: list[pytest.Item], shard: Shard) -> None:
    """Take out the tests of cells that are in other shards, cut as ``zoo run --shard`` cuts them: by recorded duration, a
    model's cells together. Tests of no cell are in the first shard."""
    cells = {item: _cell(item) for item in items}
    chosen = list({cell.name: cell for cell in cells.values() if cell is not None}.values())
    records = Path(config.rootpath) / RECORDS
    costs = durations(chosen, read(records) if records.exists() else ())
    kept = {cell.name for cell in partition(chosen, costs, shard.count)[shard.index - 1]}
    others = [item for item, cell in cells.items() if (shard.index != 1 if cell is None else cell.name not in kept)]
    if others:
        config.hook.pytest_deselected(items=others)
        out = set(others)
        items[:] = [item for item in items if item not in out]


def _cell(item: pytest.Item) -> Cell | None:
    suite = getattr(item, "cls", None)
    name = getattr(getattr(item, "callspec", None), "params", {}).get("configuration")
    if suite is None or not issubclass(suite, ModelConformance) or not isinstance(name, str):
        return None
    return Cell(suite.model, name)


def _belongs_elsewhere(item: pytest.Item) -> bool:
    suite = getattr(item, "cls", None)
    if suite is None or not issubclass(suite, ModelConformance):
        return False
    model = suite.model
    wanted = [(model.task, mark.args) for mark in item.iter_markers("tasks")]
    wanted += [(model.wrapper, mark.args) for mark in item.iter_markers("wrappers")]
    params = getattr(getattr(item, "callspec", None), "params", {})
    # pytest gives a test that is parametrized over nothing one item with a placeholder.
    unrun = "configuration" in params and not isinstance(params["configuration"], str)
    return unrun or any(value not in names for value, names in wanted)


@pytest.fixture(scope="class")
def configuration(request: pytest.FixtureRequest) -> str:
    """The configuration id that a test of a model runs for."""
    name: str = request.param
    return name


@pytest.fixture(scope="class")
def record(request: pytest.FixtureRequest, configuration: str) -> Record:
    """What was found in the cell. The cell is run at the first request, in a child process of its own."""
    suite: Any = request.cls
    found = _runner(request.config).record(Cell(suite.model, configuration), suite.known_failures)
    for entry in suite.known_failures:
        if found.status in GREEN and entry.covers(configuration) and entry.expired():
            pytest.fail(f"{found.cell}: {entry.renewal}", pytrace=False)
    if found.status == "known_failure":
        pytest.xfail(inert(f"{found.cell}: {found.reason}{f' ({found.issue})' if found.issue else ''}"))
    if found.status == "fixed":
        pytest.fail(inert(f"{found.cell}: {found.reason}\n{_edit(request, found)}".rstrip()), pytrace=False)
    if found.status == "blocked":
        pytest.fail(inert(f"{found.cell}: blocked: {found.reason}"), pytrace=False)
    if found.status == "inconclusive" and all(check.status == "pass" for check in found.checks.values()):
        pytest.fail(inert(f"{found.cell}: inconclusive: {found.reason}"), pytrace=False)  # no test would tell
    if found.status == "not_applicable":
        pytest.skip(inert(f"{found.cell}: not applicable: {found.reason}"))
    return found


def _edit(request: pytest.FixtureRequest, found: Record) -> str:
    """The edit of the test file that a known failure which passes asks for, by this run's records and the committed ones."""
    suite: Any = request.cls
    records: dict[str, Record] = {}
    for path in (place(Path(request.config.rootpath) / RECORDS, found.model), _records(request.config)):
        records |= {each.cell: each for each in read(path) if each.scale == found.scale} if path and path.is_file() else {}
    records[found.cell] = found
    path = request.path
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return suggestion(shown, [suite], records.values())


@pytest.fixture(scope="class")
def twin(request: pytest.FixtureRequest) -> Any:
    """The model's twin in eager PyTorch: a transformers model in fp32 and evaluation mode. For tests of what is particular to
    an architecture, whatever the configuration."""
    from exporters.pipeline import load_model
    from zoo.checkpoints import resolve

    suite: Any = request.cls
    return load_model(resolve(suite.model, "twin"), task=suite.model.task)


@pytest.fixture
def generation(record: Record) -> list[GenerationRecord]:
    """What the program said to each reference prompt."""
    return generations(record)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    path = _records(config)
    if path is None or not path.is_file():
        return
    found = read(path)
    terminalreporter.section("conformance")
    for record in sorted(found, key=lambda record: record.cell):
        line = f"{record.status:<14} {inert_line(record.cell)}"
        if record.reason:
            line = f"{line}: {inert_line(record.reason.splitlines()[0])}"
        terminalreporter.line(line, **_markup(record.status))
    terminalreporter.line(f"records: {path}")
    if _unfinished(path.parent):
        terminalreporter.line(f"the rest: zoo run --resume {path.parent}")


def _unfinished(directory: Path) -> bool:
    """Whether an interrupted run left cells."""
    done = {verdict.parent.name for verdict in (directory / "cells").glob("*/verdict.json")}
    return (directory / runs.MANIFEST).is_file() and not done.issuperset(runs.read_manifest(directory).cells)


def _markup(status: str) -> dict[str, bool]:
    return {"green": True} if status == "pass" else {"yellow": True} if status in GREEN else {"red": True}
