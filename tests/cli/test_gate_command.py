"""``zoo gate``, ``zoo baseline`` and ``zoo diff``: what they print and write, their exit codes. Nothing is exported here."""

import itertools
import json
import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from conformance import against, baselines, cli
from conformance.record import StageRecord, write
from conformance.trail import blank_record, processor
from zoo import registry

MODEL, CELL = "smollm2-135m", "xnnpack-fp32"
SAMPLES = {"decode": {"eager": [1e-3] * 8, "executorch": [1e-4] * 8}}


@pytest.fixture
def outcome():
    """What cells end with; tests change it."""
    return {"status": "pass", "file_bytes": 1000, "file_sha256": "a", "stages": [StageRecord(name="measure", seconds=1.0)]}


@pytest.fixture
def asked():
    """The requests of the children that were started."""
    return []


@pytest.fixture
def zoo(invoke, monkeypatch, outcome, asked):
    """Runs the command; children are not started."""

    def isolated(request, *, limits=None, target="", stop=None):
        asked.append(request)
        fields = outcome if not target else {"status": "pass", "latency": {"samples": SAMPLES}}
        return blank_record(registry.get(request.model), request, **fields)

    monkeypatch.setattr("conformance.worker.run_isolated", isolated)
    monkeypatch.setattr("conformance.launches.run_isolated", isolated)
    monkeypatch.setattr(cli.console.out, "width", 300)
    runs = itertools.count()

    def new_run(base):
        place = base / "runs" / str(next(runs))
        place.mkdir(parents=True)
        return place

    monkeypatch.setattr("conformance.gating.new_run", new_run)
    return invoke


@pytest.fixture
def record(make):
    return make()


@pytest.fixture
def make(outcome):
    """A record of the cell on this machine."""

    def made(configuration=CELL, **fields):
        request = SimpleNamespace(scale="twin", configuration=configuration, threads=1)
        return blank_record(registry.get(MODEL), request, **{**outcome, **fields})

    return made


@pytest.fixture
def accepted(zoo, make):
    """A baseline of one cell."""
    write(Path("r.jsonl"), [make(latency={"samples": SAMPLES})])
    assert zoo("baseline", "--update", MODEL, "--records", "r.jsonl").code == 0


GATE = ("gate", MODEL, "-c", CELL)


def test_a_baseline_is_written_and_shown(zoo, make, asked):
    write(Path("r.jsonl"), [make(latency={"samples": SAMPLES})])
    done = zoo("baseline", "--update", MODEL, "--records", "r.jsonl", "--launches", "2")
    assert (done.code, done.out) == (0, f"wrote reports/baselines/{MODEL}.json\n")
    assert len(asked) == 2
    shown = zoo("baseline", MODEL).out.splitlines()[1].split()
    assert shown[:5] == [MODEL, "1", "3", "to", "3"]


def test_the_same_passes_with_exit_code_0(zoo, accepted, asked, outcome):
    outcome["latency"] = {"samples": SAMPLES}
    done = zoo(*GATE)
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("gate passed: 1 cells: 0 worse, 0 better, 0 new, 0 inconclusive; latency of 1")


def test_worse_is_exit_code_1_and_the_last_line_counts(zoo, accepted, outcome):
    outcome |= {"status": "fail", "reason": "[bold]why[/bold]"}
    done = zoo(*GATE)
    assert done.code == 1
    assert "pass → fail: [bold]why[/bold]" in done.out
    assert done.out.splitlines()[-1].startswith("gate FAILED: 1 cells: 1 worse")


def test_records_of_a_run_are_judged_without_running_anything(zoo, accepted, make, asked):
    write(Path("later.jsonl"), [make(file_bytes=100_000, file_sha256="b")])
    asked.clear()
    done = zoo(*GATE, "--records", "later.jsonl", "--no-latency")
    assert (done.code, asked) == (1, [])
    assert "larger" in done.out


def test_the_cells_that_were_not_run_are_missing_unless_others_were_asked_for(zoo, accepted, make):
    write(Path("later.jsonl"), [make("portable-fp32")])
    done = zoo("gate", MODEL, "--records", "later.jsonl", "--no-latency")
    assert (done.code, "gone" in done.out) == (1, True)
    done = zoo("gate", MODEL, "-c", "portable-fp32", "--records", "later.jsonl", "--no-latency")
    assert (done.code, "gone" in done.out) == (0, False)
    assert f"zoo baseline --update {MODEL}" in done.out


def test_a_cell_that_no_tier_has_any_more_is_missing(zoo, accepted, make):
    directory = Path("reports/baselines")
    kept = baselines.read(directory, [MODEL])[f"{MODEL}@{CELL}"]
    baselines.write(directory, MODEL, {CELL: kept, "xnnpack-fp32-forgotten": kept})
    write(Path("later.jsonl"), [make()])
    done = zoo("gate", MODEL, "--records", "later.jsonl", "--no-latency")
    assert "xnnpack-fp32-forgotten" in done.out
    assert zoo("gate", MODEL, "-c", CELL, "--records", "later.jsonl", "--no-latency").code == 0


@pytest.mark.parametrize("format", ["markdown", "json"])
def test_a_verdict_can_be_written_to_a_file(zoo, accepted, format):
    done = zoo(*GATE, "--no-latency", "--format", format, "--output", "deep/verdict")
    assert (done.code, done.out) == (0, "")
    text = Path("deep/verdict").read_text()
    assert json.loads(text)["passed"] if format == "json" else text.startswith("**gate passed: 1 cells")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (GATE, "zoo baseline --update smollm2-135m"),
        (("gate", "nosuch"), "nosuch"),
        ((*GATE, "--format", "html"), "unknown format 'html'"),
        ((*GATE, "--records", "a", "--against", "b"), "exclude each other"),
        ((*GATE, "--against", "HEAD"), "is in no git repository"),
        (("baseline", "--update", "--records", "nosuch.jsonl"), "there are no records at nosuch.jsonl"),
        (("baseline", "--records", "nosuch.jsonl"), "goes with --update"),
        (("baseline",), "there are no baselines"),
        (("diff", "nosuch", "nosuch"), "there are no records at nosuch"),
        (("diff", "nosuch", "nosuch", "--format", "pdf"), "unknown format 'pdf'"),
    ],
)
def test_what_cannot_be_used_is_exit_code_2_and_one_line(zoo, tmp_path, arguments, told):
    done = zoo(*arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("fields", "code"), [({}, 0), ({"status": "fail"}, 1), ({"file_bytes": 9}, 0), ({"file_bytes": 10**6}, 1)]
)
@pytest.mark.parametrize("format", ["table", "markdown", "html"])
def test_a_diff_is_exit_code_1_if_something_is_worse(zoo, make, fields, code, format):
    write(Path("before.jsonl"), [make(file_bytes=100_000)])
    write(Path("after.jsonl"), [make(**{"file_bytes": 100_000, **fields})])
    done = zoo("diff", "before.jsonl", "after.jsonl", "--format", format)
    assert done.code == code
    assert "before.jsonl" in done.out.replace("\\", "")


def test_a_diff_takes_files_directories_and_runs(zoo, make):
    write(Path("records"), [make()])
    Path("run").mkdir()
    write(Path("run/records.jsonl"), [make()])
    done = zoo("diff", "records", "run", "--output", "diff.txt")
    assert (done.code, done.out) == (0, "")
    assert "nothing changed" in Path("diff.txt").read_text()


@pytest.fixture
def repository(zoo, tmp_path, monkeypatch):
    """A small git repository with a file that stands for the zoo, and two commits."""
    root = tmp_path / "project"
    (root / "conformance").mkdir(parents=True)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(name, raising=False)

    def git(*arguments):
        identity = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", "-C", root, *identity, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")
    (root / "readme").write_text("no zoo yet")
    git("add", "readme")
    git("commit", "-qm", "one")
    (root / "conformance" / "cli.py").write_text("VERSION = 1\n")
    git("add", ".")
    git("commit", "-qm", "two")
    (root / "conformance" / "cli.py").write_text("VERSION = 'uncommitted'\n")
    monkeypatch.chdir(root)
    return SimpleNamespace(root=root, git=git)


def test_a_worktree_is_the_ref_and_is_gone_afterwards(repository):
    with against.worktree(repository.root, "HEAD") as tree:
        assert (tree / "conformance" / "cli.py").read_text() == "VERSION = 1\n"
        assert repository.git("worktree", "list").count("\n") == 1
    assert not tree.exists()
    assert repository.git("worktree", "list").count("\n") == 0
    assert (repository.root / "conformance" / "cli.py").read_text() == "VERSION = 'uncommitted'\n"


def test_a_worktree_is_gone_after_an_error_too(repository):
    with pytest.raises(KeyboardInterrupt), against.worktree(repository.root, "HEAD") as tree:
        raise KeyboardInterrupt
    assert not tree.exists()
    assert repository.git("worktree", "list").count("\n") == 0


@pytest.mark.parametrize(
    ("ref", "told"), [("nosuch", "names no commit"), ("HEAD~1", "there is no zoo in"), ("--all", "names no commit")]
)
def test_a_ref_that_cannot_be_used_is_refused(zoo, repository, ref, told):
    done = zoo(*GATE, f"--against={ref}")
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert repository.git("worktree", "list").count("\n") == 0


@pytest.fixture
def other_side(monkeypatch, make):
    """What the other side's ``zoo run`` finds; its arguments are kept."""
    state = SimpleNamespace(records=[make()], arguments=None, tree=None)

    def run(tree, arguments):
        state.tree, state.arguments = tree, arguments
        return state.records

    monkeypatch.setattr("conformance.against.run", run)
    return state


def test_the_same_bytes_are_not_timed_and_that_is_said(zoo, repository, other_side, asked):
    done = zoo(*GATE, "--against", "HEAD")
    assert done.code == 0
    assert "the programs are the same, byte for byte" in done.out
    assert len(asked) == 1  # this side's cell
    assert other_side.arguments == [
        MODEL,
        "--configuration",
        CELL,
        *["--tier", "default", "--scale", "twin", "--threads", "1", "--jobs", "2"],
    ]
    assert not other_side.tree.exists()


@pytest.mark.parametrize(("fields", "told"), [({"status": "known_failure"}, "gate passed"), ({}, "FAILED")])
def test_verdicts_of_both_sides_are_compared(zoo, repository, other_side, make, outcome, fields, told):
    other_side.records = [make(**fields)]
    outcome |= {"status": "pass" if fields else "crash"}
    assert told in zoo(*GATE, "--against", "HEAD").out


def test_programs_that_differ_are_timed_beside_each_other(zoo, repository, other_side, make, outcome, monkeypatch, asked):
    monkeypatch.setattr("conformance.against.find_program", lambda sha256: Path(f"/cache/{sha256}/model.pte"))
    times = {"decode": {"before": [1e-4] * 16, "after": [1.3e-4] * 16}}

    def launched(request, *, limits, target):
        asked.append(request)
        return make(latency={"samples": times})

    monkeypatch.setattr("conformance.launches.run_isolated", launched)
    outcome |= {"file_sha256": "b", "latency": {"samples": SAMPLES}}
    done = zoo(*GATE, "--against", "HEAD")
    assert done.code == 1
    assert "decode: the time changed by +30.0%" in done.out
    assert asked[-1].programs == (("before", "/cache/a/model.pte"), ("after", "/cache/b/model.pte"))


def test_the_other_side_runs_its_own_code_with_the_same_interpreter(repository):
    (repository.root / "conformance" / "cli.py").write_text(
        "import os, sys\n"
        "def main():\n"
        "    sys.stderr.write('error: no such thing as ' + os.environ['PYTHONPATH'])\n"
        "    sys.exit(2)\n"
    )
    repository.git("add", ".")
    repository.git("commit", "-qm", "three")
    with (
        against.worktree(repository.root, "HEAD") as tree,
        pytest.raises(against.ConformanceError, match=f"ended with code 2: error: no such thing as {os.fspath(tree)}"),
    ):
        against.run(tree, ["gpt2"])


def test_this_machine_is_the_one_that_records_name(record):
    assert record.host["processor"] == processor()
