"""A changed file leads to the cells that depend on it."""

import subprocess

import pytest

from conformance.changed import Changed, depending, since
from conformance.errors import ConformanceError
from zoo import registry

FAMILIES = {model.family for model in registry.models().values()}


@pytest.mark.parametrize(
    ("paths", "families", "everything"),
    [
        ([], (), False),
        (["zoo/models/gemma3.py"], ("gemma3",), False),
        (["tests/models/test_gemma3.py", "zoo/models/bert.py"], ("bert", "gemma3"), False),
        (["zoo/models/gone.py"], (), False),
        (["zoo/models/__init__.py"], (), True),
        (["zoo/twins/builder.py"], (), True),
        (["exporters/wrappers/ctc.py", "zoo/models/gemma3.py"], ("gemma3",), True),
        (["conformance/worker.py"], (), True),
        (["conformance/reports/ctrf.py"], (), False),
        (["pyproject.toml"], (), True),
        (["conftest.py"], (), True),
        (["tests/models/conftest.py"], (), True),
        (
            ["tests/unit/conformance/test_record.py", "docs/records.md", "README.md", "reports/records/bert-base.jsonl"],
            (),
            False,
        ),
        (["zoo/a name\nof two lines"], (), True),
        (["somewhere/zoo/models/gemma3.py", "zoo/models/gemma3.pyc"], (), True),
    ],
)
def test_a_file_leads_to_what_depends_on_it(paths, families, everything):
    everything = (everything and paths != ["zoo/models/__init__.py"]) or everything
    assert depending(paths, FAMILIES) == Changed(families, everything)


def test_every_family_is_found_by_its_file():
    for family in FAMILIES:
        assert depending([f"zoo/models/{family}.py"], FAMILIES) == Changed((family,), everything=False)


@pytest.fixture
def git(tmp_path):
    def run(*arguments):
        name = ("-c", "user.name=n", "-c", "user.email=e@example.org")
        subprocess.run(["git", *name, *arguments], cwd=tmp_path, check=True, capture_output=True)

    run("init", "-b", "main")
    return run


def write(path, text="x"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_what_the_base_changed_meanwhile_does_not_count(git, tmp_path):
    write(tmp_path / "zoo/models/bert.py", "a\nb\nc\n")
    git("add", "-A")
    git("commit", "-m", "a")
    git("checkout", "-b", "branch")
    git("mv", "zoo/models/bert.py", "zoo/models/roberta.py")
    write(tmp_path / "docs/a name\nof two lines.md")
    git("add", "-A")
    git("commit", "-m", "b")
    git("checkout", "main")
    write(tmp_path / "exporters/pipeline.py")
    git("add", "-A")
    git("commit", "-m", "c")
    git("checkout", "branch")
    found = since("main", tmp_path)
    assert found == Changed(("bert", "roberta"), everything=False)  # of a file that was moved, both names


@pytest.mark.parametrize("base", ["nowhere", "--output=x", ""])
def test_a_base_that_there_is_not_is_refused(git, tmp_path, base):
    with pytest.raises(ConformanceError, match="--base"):
        since(base, tmp_path)
