"""docs/verdicts.md names tests, and all of them are there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_the_page_names_is_defined():
    page = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8")
    sources = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")}
    defined = set(re.findall(r"def (test_\w+)", "\n".join(sources.values())))
    named = set(re.findall(r"`(test_\w+)(?:\[[^`]*\])?`", page))
    assert len(named) > 50
    assert named - defined == set()
    files = set(re.findall(r"`(tests/[\w/]+\.py)`", page))
    assert [name for name in files if not (ROOT / name).is_file()] == []
