"""The committed reports, as files: written from the records, or held against them."""

from __future__ import annotations

from pathlib import Path

from conformance.errors import ConformanceError
from conformance.record import Record, read
from conformance.reports.badges import render_badges
from conformance.reports.evidence import render_families
from conformance.reports.schema import SCHEMA, render_schema
from conformance.reports.support_matrix import PAGES, render_matrix, render_support
from conformance.reports.verdicts import between, render_page

RECORDS = Path("reports/records")
SUPPORT = Path("reports/SUPPORT.md")
BADGES = Path("reports/badges")
README = Path("README.md")
BEGIN, END = "<!-- support-matrix:begin -->", "<!-- support-matrix:end -->"


def rendered(root: Path, records: Path | None = None) -> dict[Path, str]:
    """What each report file under ``root`` must contain.

    Raises:
        ConformanceError: there are no records, the README or its markers are missing, or a file of ``reports/verdicts`` is.
    """
    found = read(records or root / RECORDS)
    return {
        **_readme(root / README, found),
        **render_page(root),
        root / SUPPORT: render_support(found),
        root / SCHEMA: render_schema(),
        **{root / PAGES / f"{family}.md": text for family, text in render_families(found).items()},
        **{root / BADGES / f"{name}.json": text for name, text in render_badges(found).items()},
    }


def _readme(readme: Path, found: list[Record]) -> dict[Path, str]:
    if not readme.is_file():
        raise ConformanceError(f"there is no {readme}; run 'zoo report' in the project's directory, or give --root.")
    text = readme.read_text(encoding="utf-8")
    return {readme: between(readme, text, (BEGIN, END), render_matrix(found))}


def write_reports(root: Path, records: Path | None = None) -> list[Path]:
    """Write every report, and remove pages of what is gone; returns the files that changed."""
    reports = rendered(root, records)
    changed = _stale(root, reports)
    for path in changed:
        if path in reports:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(reports[path], encoding="utf-8")
        else:
            path.unlink()
    return changed


def drifted(root: Path, records: Path | None = None) -> list[Path]:
    """The report files that differ from what the records say: another text, missing, or of nothing that there is."""
    return _stale(root, rendered(root, records))


def _stale(root: Path, reports: dict[Path, str]) -> list[Path]:
    left = {path for directory, kind in ((PAGES, "*.md"), (BADGES, "*.json")) for path in (root / directory).glob(kind)}
    differ = [path for path, text in reports.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    return [*differ, *sorted(left - reports.keys())]
