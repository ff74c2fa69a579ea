"""docs/interface.md names every option and class of the systems it speaks of, and tests that exist."""

import re
from pathlib import Path

import pytest

from exporters.llm_schema import LlmConfig, paths

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8")
SEEN = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), SEEN)
def test_a_test_that_the_page_names_exists(file, name):
    assert re.search(rf"^def {name}\(", (ROOT / "tests" / file).read_text(encoding="utf-8"), re.MULTILINE)


def test_every_line_of_a_table_says_what_shows_it():
    lines = [line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    rows = [line for line in lines if not line.endswith("| here | shown by |")]
    assert len(rows) > 60
    assert [row for row in rows if not re.search(r"::test_\w+`|every file of `models/`", row)] == []


@pytest.mark.parametrize("path", sorted(paths(LlmConfig)))
def test_every_field_of_llm_config_is_on_the_page(path):
    section, *rest = path.split(".")
    above = {".".join([section, *rest[:depth]]) for depth in range(len(rest) + 1)}
    assert any(f"`{each}`" in PAGE for each in above), path
