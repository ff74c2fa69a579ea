"""The mutation score, from the tests that seed defects: printed at the end, recorded when it is asked for.

A plugin, because with pytest-xdist it is the controller that prints, and that one reads no conftest.py below the first.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from tests.faults import defects

RECORDED = Path("reports/verdicts/mutation.json")
_KEY = "mutation"
_FOUND = pytest.StashKey[dict[str, dict[str, Any]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--record-mutation-score", action="store_true", help=f"write what the seeded defects came to into {RECORDED}"
    )


class _Collector:
    """Reads the notes off the reports of tests: with pytest-xdist these come from the workers."""

    def __init__(self, found: dict[str, dict[str, Any]]) -> None:
        self.found = found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            for value in (value for name, value in report.user_properties if name == _KEY):
                self.found[report.nodeid] = value


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FOUND] = {}
    config.pluginmanager.register(_Collector(config.stash[_FOUND]))


@pytest.fixture
def mutation(record_property):
    """Notes what a seeded defect came to: the defect, what caught it, and what was said."""

    def note(defect, caught_by, message):
        found = {
            "name": defect.name,
            "says": defect.says,
            "place": defect.place,
            "cell": defect.cell,
            "declared": defect.caught_by,
            "caught": defect.caught_by in caught_by,
            "caught_by": caught_by,
            "message": message,
        }
        record_property(_KEY, {"of": len(defects.CATALOGUE), "found": found})

    return note


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    told = list(config.stash[_FOUND].values())
    if not told:
        return
    found = [each["found"] for each in told]
    caught = sum(each["caught"] for each in found)
    score = f"mutation score: {caught} of {len(found)} seeded defects caught ({caught / len(found):.0%})"
    terminalreporter.section("seeded defects")
    for each in sorted(found, key=lambda each: (each["place"], each["name"], each["cell"])):
        line = f"{each['name']:<40} {each['cell']:<44} {each['declared'] if each['caught'] else 'SURVIVED'}"
        terminalreporter.line(line, green=each["caught"], red=not each["caught"])
    terminalreporter.line(score, bold=True)
    unrun = told[0]["of"] - len(found)
    if unrun:
        terminalreporter.line(f"{unrun} others were not run; 'pytest tests/faults' runs all")
    if config.getoption("--record-mutation-score", default=False):
        missing = _record(Path(config.rootpath) / RECORDED, found)
        if missing:
            terminalreporter.line(f"not recorded: never run with these versions: {', '.join(missing[:4])}", red=True)


def _record(path: Path, found: list[dict[str, Any]]) -> list[str]:
    """Write down what was found, beside what was recorded of other defects with the same versions of the stack.

    Returns:
        The defects of which nothing is known; then nothing is written.
    """
    from zoo.cache import stack_versions

    versions = stack_versions()
    recorded = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {"versions": None}
    before = recorded["defects"] if recorded["versions"] == versions else []
    known = {_key(**each): each for each in (*before, *found)}
    says = {_key(each.place, each.name, each.cell, each.caught_by): each.says for each in defects.load().values()}
    missing = [f"{name} ({cell})" for _, name, cell, _ in says.keys() - known.keys()]
    if missing:
        return missing
    told = {
        "schema_version": 1,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "versions": versions,
        "score": sum(known[key]["caught"] for key in says) / len(says),
        "defects": [known[key] | {"says": says[key]} for key in sorted(says)],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return []


def _key(place: str, name: str, cell: str, declared: str, **_: Any) -> tuple[str, str, str, str]:
    return place, name, cell, declared
