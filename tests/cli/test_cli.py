"""The ``zoo`` command: what it prints, its exit codes, and errors of one clear line. Nothing is exported here."""

import ast
import itertools

import pytest

from conformance import cli, matrix
from conformance.changed import Changed
from conformance.merging import stable
from conformance.record import Failure, read, write
from conformance.reports.generated import BEGIN, END
from conformance.trail import CellRequest, blank_record
from exporters.errors import ExportError
from zoo import registry
from zoo.model import TASKS

EXPORT = ("export", "--model", "smollm2-135m", "--output_dir", "out")


@pytest.fixture
def zoo(invoke, monkeypatch):
    """Runs the command; no cell is run for real."""
    monkeypatch.setattr("conformance.worker.run_isolated", lambda *args, **kwargs: pytest.fail("a cell was run"))
    monkeypatch.setattr(cli.console.out, "width", 200)
    runs = itertools.count()  # directories of runs are named by second and process, and here one process runs several
    monkeypatch.setattr("conformance.worker.new_run", lambda base: base / "runs" / str(next(runs)))
    monkeypatch.setattr("exporters.pipeline.export", lambda *args, **kwargs: pytest.fail("a model was exported"))
    return invoke


@pytest.fixture
def refused(zoo, tmp_path):
    """Runs the command, expects one line of error and exit code 2, and returns the line."""

    def run(*arguments):
        present = set(tmp_path.iterdir())
        done = zoo(*arguments)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("error: ")
        assert done.err.count("\n") == 1
        assert set(tmp_path.iterdir()) == present
        return done.err

    return run


@pytest.fixture
def outcome(monkeypatch):
    """Lets cells end with a given status, without running them."""

    def set_outcome(status, **fields):
        monkeypatch.setattr(
            "conformance.worker.run_isolated",
            lambda request, **_: blank_record(registry.get(request.model), request, status=status, **fields),
        )

    return set_outcome


def test_list_shows_every_model_with_its_checkpoint(zoo):
    done = zoo("list")
    assert (done.code, done.err) == (0, "")
    rows = [line.split() for line in done.out.splitlines()[1:]]
    assert rows == [[row.name, row.family, row.task, row.hub_id] for row in registry.models().values()]


def test_list_shows_the_configurations_when_asked(zoo):
    lines = [line.strip() for line in zoo("list", "--configurations", "--task", "text-generation").out.splitlines()]
    for name in matrix.CORE[matrix.DECODER]:
        assert lines.count(name) == 1


def test_a_narrow_terminal_does_not_cut_the_names_one_would_type(zoo, monkeypatch):
    monkeypatch.setattr(cli.console.out, "width", 80)
    words = zoo("list", "--configurations").out.split()
    assert {*registry.models(), *matrix.CORE[matrix.DECODER]} <= set(words)


def test_matrix_tells_what_would_run_and_why_the_rest_would_not(zoo):
    done = zoo("matrix", "mamba", "--tier", "nightly")
    assert done.code == 0
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert "mamba-130m xnnpack-fp32-static runs" in lines
    assert any(line.startswith("mamba-130m xnnpack-fp32-sdpa-kv no: it does not attend") for line in lines)
    assert any("4w with portable" in line and "no kernel" in line for line in lines)


def test_a_tier_that_does_not_exist_is_refused(refused):
    assert "unknown tier 'weekly'" in refused("matrix", "--tier", "weekly")


def test_show_tells_all_that_the_row_says(zoo):
    done = zoo("show", "gemma3-270m")
    row = registry.get("gemma3-270m")
    assert (done.code, done.err) == (0, "")
    for text in (row.hub_id, "unpinned", row.wrapper, "zoo/models/gemma3.py", "sliding_window = 16"):
        assert text in done.out
    for text in (*(prompt.text for prompt in row.reference_prompts), *matrix.configurations(row)):
        assert text in done.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "gemma3"), ("'gemma3'", "'gemma3-270m'")),
        (("show", "[bold]"), ("'[bold]'", "zoo list")),
        (("run", "qwen4"), ("'qwen4'", "'qwen3'")),
        ((*EXPORT[:2], "smollm-135m", *EXPORT[3:]), ("'smollm-135m'", "'smollm2-135m'")),
    ],
)
def test_an_unknown_model_is_refused_with_a_suggestion(refused, arguments, told):
    assert all(text in refused(*arguments) for text in ("unknown model", *told))


@pytest.mark.parametrize("arguments", [("list", "--task", "vision"), (*EXPORT, "--task", "vision")])
def test_an_unknown_task_is_refused_with_those_there_are(refused, arguments):
    assert f"unknown task 'vision'. Known: {', '.join(sorted(TASKS))}." in refused(*arguments)


@pytest.mark.parametrize(
    ("configuration", "told"),
    [("xnnpack-fp32-kv", "Did you mean"), ("fast", "recipe-dtype"), ("xnnpack-fp16", "fp16")],
)
def test_an_unknown_configuration_is_refused(refused, configuration, told):
    error = refused("run", "qwen3", "-c", "portable-fp32", "-c", configuration)
    assert told in error
    assert configuration in error or told == configuration.split("-")[1]


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(("list", "--taks", "x"), "--task"), ((*EXPORT, "--use_custom_spda"), "--use_custom_sdpa")],
)
def test_an_unknown_option_is_refused_with_a_suggestion(zoo, arguments, near):
    done = zoo(*arguments)
    assert (done.code, done.out) == (2, "")
    assert "Traceback" not in done.err
    assert done.err.splitlines()[-1].startswith(f"Error: No such option: {arguments[-1 if len(arguments) > 3 else 1]}")
    assert near in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--qlinear", "8da4w", "--qlinear_group_size", "48"), "48 cannot be honoured with qlinear '8da4w'"),
        (("--qlinear", "8da8w", "--qlinear_group_size", "32"), "their kernels take 0 (one scale a channel)"),
        (("--qlinear", "8da4w", "--qlinear_group_size", "-32"), "qlinear_group_size is -32"),
        (("--qlinear_group_size", "64"), "without qlinear would be ignored; add qlinear 8da4w"),
    ],
)
def test_a_group_size_that_cannot_be_realised_is_refused(refused, options, told):
    assert told in refused(*EXPORT, *options)


def test_the_portable_recipe_cannot_run_four_bit_weights(refused):
    error = refused(*EXPORT, "--recipe", "portable", "--qlinear", "8da4w")
    assert "needs the recipe 'xnnpack'" in error
    assert "no kernel of the recipe 'portable'" in error


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--recipe", "xnnpak"), "Did you mean 'xnnpack'? Allowed: portable, xnnpack"),
        (("--dtype", "fp64"), "Allowed: fp32"),
        (("--qlinear", "3w"), "Allowed: 8da4w, 8da8w"),
        (("--qembedding", "2w"), "Allowed: 8w, 4w"),
        (("--quantize_kv_cache",), "quantize_kv_cache needs use_custom_kv_cache"),
        (("--use_attention_sink", "4,28"), "use_attention_sink needs use_custom_sdpa and use_custom_kv_cache"),
        (("--use_shared_embedding",), "use_shared_embedding needs the recipe 'portable'"),
        (("--max_seq_len", "1"), "max_seq_len is 1; give a whole number of at least 2"),
        (("--allow_skipped_layers",), "without qlinear would be ignored"),
        (("--revision", "main"), "--revision belongs to a hub id"),
        (("--profile_path", "flame.json"), "--profile_path flame.json: give an .html file in a directory that exists"),
        (("--profile_path", "none/flame.html"), "--profile_path none/flame.html: give an .html file"),
    ],
)
def test_an_export_option_that_cannot_be_used_is_refused_with_what_can(refused, options, told):
    assert told in refused(*EXPORT, *options)


@pytest.mark.parametrize("options", [(), ("--stock_lowering",), ("--stock-lowering",)])
def test_the_exporter_is_told_how_to_lower(zoo, monkeypatch, options):
    def export(*args, **kwargs):
        raise ExportError(f"stock_lowering={kwargs['stock_lowering']}")

    monkeypatch.setattr("conformance.shipping.checkpoint", lambda *args, **kwargs: None)
    monkeypatch.setattr("exporters.pipeline.export", export)
    assert f"error: stock_lowering={bool(options)}\n" == zoo(*EXPORT, *options).err


@pytest.mark.parametrize(("options", "times"), [((), 1), (("--stock_lowering",), 0)])
def test_slower_lowering_is_said_once(zoo, monkeypatch, options, times):
    def export(*args, **kwargs):
        raise ExportError("enough")

    monkeypatch.setattr("conformance.shipping.checkpoint", lambda *args, **kwargs: None)
    monkeypatch.setattr("exporters.pipeline.export", export)
    monkeypatch.setattr("exporters.lowering.switched_off", lambda: {"code_on_demand": "torch 9.9"})
    assert zoo(*EXPORT, *options).err.count("were not checked on torch 9.9 and are switched off") == times


def test_an_output_directory_that_is_a_file_is_refused(refused, tmp_path):
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    assert "--output_dir out is a file" in refused(*EXPORT)


def test_a_missing_program_is_refused_with_what_makes_one(refused):
    error = refused("generate", "none.pte", "--prompt", "hi")
    assert "none.pte does not exist" in error
    assert "zoo export" in error


def test_a_program_without_a_tokenizer_is_refused(refused, tmp_path):
    (tmp_path / "model.pte").touch()
    assert "--tokenizer" in refused("generate", "model.pte", "--prompt", "hi")


def test_an_empty_prompt_is_refused(refused):
    assert "--prompt is empty" in refused("generate", "none.pte", "--prompt", "")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--scale", "tiny"), "unknown scale 'tiny'"),
        (("--max_seq_len", "32"), "does not apply to twins"),
        (("--records", "broken.jsonl"), "broken.jsonl, line 1 is no record"),
    ],
)
def test_a_run_that_cannot_be_recorded_is_refused_before_any_work(refused, tmp_path, options, told):
    (tmp_path / "broken.jsonl").write_text("{}\n", encoding="utf-8")
    assert told in refused("run", "qwen3", *options)


def test_a_green_run_exits_with_0_and_shows_the_matrix(zoo, outcome):
    outcome("pass")
    done = zoo("run", "qwen3", "-c", "portable-fp32")
    assert done.code == 0
    assert any({"qwen3-0.6b", "pass"} <= set(line.split()) for line in done.out.splitlines())
    assert "[1/1] pass" in done.err


@pytest.mark.parametrize("status", ["fail", "crash", "oom", "timeout", "blocked", "inconclusive"])
def test_a_cell_that_is_not_green_makes_the_run_exit_with_1_and_says_why(zoo, outcome, status):
    outcome(status, reason="[red]no kernel", failure=Failure(stage="lower", kind="Error", message="no kernel"))
    done = zoo("run", "qwen3", "-c", "portable-fp32")
    assert done.code == 1
    assert f"{status}: qwen3-0.6b@portable-fp32: [red]no kernel" in done.out.splitlines()


def test_a_wide_run_has_a_column_for_each_shared_configuration_and_counts_the_others(zoo, outcome):
    outcome("pass")
    done = zoo("run", "mamba", "--tier", "nightly")
    assert done.code == 0
    ids = matrix.configurations(registry.get("mamba-130m"))
    run = [name for name in ids if matrix.Cell(registry.get("mamba-130m"), name).inapplicable is None]
    core = matrix.CORE[matrix.DECODER]
    assert set(core).isdisjoint(run)
    header, row = (
        [part.strip() for part in line.strip(" ┃│").replace("│", "┃").split("┃")]
        for line in done.out.splitlines()
        if line.lstrip(" ┃│").startswith(("model", "mamba-130m"))
    )
    assert header == ["model", *core, "others"]
    assert row[:-1] == ["mamba-130m", *["not applicable"] * len(core)]
    assert set(row[-1].split(", ")) == {f"{len(run)} pass", f"{len(ids) - len(run) - len(core)} not applicable"}


def test_a_tier_chooses_the_cells_that_are_run(zoo, outcome):
    outcome("pass")
    assert "[1/1] pass" in zoo("run", "qwen3", "--tier", "smoke").err


def test_records_are_merged_with_those_of_other_cells(zoo, outcome, tmp_path):
    outcome("pass")
    for configuration in ("portable-fp32", "xnnpack-fp32"):
        zoo("run", "qwen3", "-c", configuration, "--records", "kept.jsonl")
    outcome("fail", reason="worse")
    zoo("run", "qwen3", "-c", "xnnpack-fp32", "--records", "kept.jsonl")
    assert {record.configuration: record.status for record in read(tmp_path / "kept.jsonl")} == {
        "portable-fp32": "pass",
        "xnnpack-fp32": "fail",
    }


@pytest.fixture
def project(zoo, outcome, tmp_path):
    """A project directory whose reports agree with its records."""
    outcome("pass")
    (tmp_path / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    zoo("run", "qwen3", "--records", "reports/records")
    assert "wrote README.md" in zoo("report").out
    return tmp_path


def test_reports_that_agree_with_the_records_exit_with_0(zoo, project):
    done = zoo("report", "--check")
    assert (done.code, done.err) == (0, "")


def test_a_report_that_has_drifted_is_named_and_exits_with_1(zoo, project):
    path = project / "reports" / "SUPPORT.md"
    path.write_text(path.read_text(encoding="utf-8") + "edited", encoding="utf-8")
    done = zoo("report", "--check")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("reports/SUPPORT.md differs from the records")
    assert path.read_text(encoding="utf-8").endswith("edited")


def test_a_report_without_records_is_refused(refused):
    assert "'zoo run' makes them" in refused("report", "--check")


def test_new_writes_a_family_and_says_how_to_run_it(zoo, tmp_path, monkeypatch):
    known = {name: row for name, row in registry.models().items() if row.family != "olmo2"}
    monkeypatch.setattr(registry, "_ROWS", known)
    for name in ("zoo/models", "tests/models"):
        (tmp_path / name).mkdir(parents=True)
    done = zoo("new", "olmo2", "--hub-id", "allenai/OLMo-2-0425-1B")
    assert (done.code, done.err) == (0, "")
    for name in ("zoo/models/olmo2.py", "tests/models/test_olmo2.py"):
        assert f"wrote {name}" in done.out.splitlines()
        ast.parse((tmp_path / name).read_text(encoding="utf-8"))
    assert "pytest -k olmo2" in done.out


def test_new_writes_a_row_of_the_task_that_is_named(zoo, tmp_path):
    for name in ("zoo/models", "tests/models"):
        (tmp_path / name).mkdir(parents=True)
    assert zoo("new", "electra", "--task", "fill-mask").code == 0
    assert 'task="fill-mask"' in (tmp_path / "zoo/models/electra.py").read_text(encoding="utf-8")
    assert "'bert' is no image classifier" in zoo("new", "bert", "--task", "image-classification").err


@pytest.mark.parametrize(
    "arguments",
    [("new", "Olmo2"), ("new", "olmo2"), ("new", "olmo2", "--root", "elsewhere")],
    ids=("bad name", "no checkout", "no root"),
)
def test_new_outside_of_a_checkout_is_refused(refused, arguments):
    assert "is no checkout" in refused(*arguments)


def test_transcribing_without_a_program_or_a_sound_is_refused(refused, tmp_path):
    assert "does not exist. 'zoo export' makes a .pte." in refused("transcribe", str(tmp_path), "a.wav")
    (tmp_path / "model.pte").write_bytes(b"")
    assert "does not exist; give a WAV file" in refused("transcribe", str(tmp_path), str(tmp_path / "a.wav"))


@pytest.fixture
def known(tmp_path):
    """A file of records whose durations shards can be cut by."""
    request = CellRequest("gemma3-270m", "xnnpack-fp32", "")
    write(tmp_path / "known.jsonl", [blank_record(registry.get(request.model), request, status="pass")])


@pytest.mark.parametrize("shard", ["0/5", "6/5", "x", "1"])
def test_what_is_no_shard_is_refused(refused, shard):
    assert f"--shard {shard!r}: give which shard of how many" in refused("run", "mamba", "--shard", shard)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--shard", "1/2", "--records", "r.jsonl", "--durations", "known.jsonl"), "'zoo merge' puts"),
        (("--durations", "known.jsonl"), "--durations goes with the --shard"),
        (("--shard", "1/2", "--durations", "none.jsonl"), "there are no records at none.jsonl"),
        (("--resume", "nowhere"), "nowhere is no run directory"),
        (("--run", "."), ". is there and holds no run"),
    ],
)
@pytest.mark.usefixtures("known")
def test_a_run_that_cannot_be_is_refused_before_anything_is_made(refused, arguments, told):
    assert told in refused("run", "mamba", "-c", "xnnpack-fp32", *arguments)


@pytest.mark.usefixtures("known")
def test_shards_are_run_and_merged(zoo, outcome, tmp_path):
    outcome("pass")
    whole = ("run", "gemma3-270m", "qwen3-0.6b", "--tier", "core")
    assert zoo(*whole, "--records", "whole").code == 0
    for index in (1, 2):
        done = zoo(*whole, "--shard", f"{index}/2", "--durations", "known.jsonl", "--run", f"run-{index}")
        assert done.code == 0
    done = zoo("merge", "run-1", "--into", "half")
    assert done.code == 1
    assert "shard 2/2 was not given: 4 (" in done.err
    assert zoo("merge", "run-1", "run-2", "--into", "merged").code == 0
    assert [stable(record) for record in read(tmp_path / "merged")] == [stable(record) for record in read(tmp_path / "whole")]
    again = zoo(*whole, "--run", "run-1")
    assert again.code == 2
    assert "Continue it with --resume run-1" in again.err


def test_a_run_that_is_continued_keeps_its_verdicts_and_its_options(zoo, outcome, tmp_path, monkeypatch):
    outcome("fail", reason="because")
    assert zoo("run", "gemma3-270m", "--tier", "core", "--threads", "2", "--run", "run").code == 1
    gone = next((tmp_path / "run" / "cells").iterdir())
    (gone / "verdict.json").unlink()
    asked = []
    monkeypatch.setattr(
        "conformance.worker.run_isolated",
        lambda request, **_: asked.append(request) or blank_record(registry.get(request.model), request, status="pass"),
    )
    done = zoo("run", "--resume", "run", "--records", "records.jsonl")
    assert done.code == 1  # three of four failed before
    assert "3 of 4 cells done before" in done.err
    assert [(f"{request.model}@{request.configuration}", request.threads) for request in asked] == [(gone.name, 2)]
    assert {record.cell: record.status for record in read(tmp_path / "records.jsonl")}[gone.name] == "pass"
    refused = zoo("run", "--resume", "run", "--threads", "3")
    assert refused.code == 2
    assert "threads: 2, now 3" in refused.err


@pytest.mark.usefixtures("known")
def test_a_shard_of_no_cells_is_a_run_of_no_cells(zoo, tmp_path):
    one = ("run", "mamba", "-c", "xnnpack-fp32", "--durations", "known.jsonl")
    assert zoo(*one, "--shard", "2/2", "--run", "two").code == 0
    assert zoo(*one, "--shard", "1/2", "--run", "one").code == 0
    assert zoo("merge", "one", "two", "--into", "merged.jsonl").code == 0
    assert len(read(tmp_path / "merged.jsonl")) == 1


def test_changed_families_are_named_for_a_person_and_for_github(zoo, monkeypatch):
    monkeypatch.setattr("conformance.changed.since", lambda base, root: Changed(("bert", "gemma3"), everything=True))
    assert zoo("changed").out == "bert\ngemma3\n"
    assert zoo("changed", "--format", "github").out == "families=bert gemma3\neverything=true\n"
    assert "unknown --format 'json'" in zoo("changed", "--format", "json").err
