"""``zoo export``: files and overrides, options of the exporters that people come from, the documented commands."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from conformance import cli
from conformance.cli.exporting import MULTIMODAL
from exporters import ExportConfig
from exporters.debugging import DebugFiles
from exporters.graphs import FORMATS
from exporters.llm_schema import paths
from zoo import registry
from zoo.checkpoints import resolve

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "exporting.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
SHOWN = re.findall(r"```sh\n(zoo export .*?)\n```", PAGE, re.DOTALL)
COMMANDS = [" ".join(text.replace("\\\n", " ").split()) for text in SHOWN]
ALWAYS_RUN = ("out-audio", "out-vit", "out-whisper", "out-lowered")
"""The directories of the documented commands that are run at every tier: one of each kind. All are with --tier nightly."""
CACHE = os.environ.get("ZOO_CACHE")
METHODS = {
    "text-generation": {"forward"},
    MULTIMODAL: {"text_decoder", "token_embedding", "audio_encoder"},
    "text2text-generation": {"encoder", "text_decoder"},
    "image-classification": {"forward"},
    "automatic-speech-recognition": {"encoder", "text_decoder"},
}
OF_OPTIMUM = [
    "model",
    "output_dir",
    "task",
    "recipe",
    "use_custom_sdpa",
    "use_custom_kv_cache",
    "disable_dynamic_shapes",
    "qlinear",
    "qlinear_group_size",
    "qlinear_packing_format",
    "qlinear_encoder",
    "qlinear_encoder_group_size",
    "qlinear_encoder_packing_format",
    "qembedding",
    "qembedding_group_size",
    "qembedding_encoder",
    "qembedding_encoder_group_size",
    "quantize_dtype",
    "max_seq_len",
    "dtype",
    "device",
    "image_size",
    "gguf_file",
]
"""Every option of ``optimum-cli export executorch`` (optimum-executorch 02790c8)."""
EXPORT = ("export", "--model", "smollm2-135m", "--output_dir", "out")


@pytest.fixture
def asked(invoke, monkeypatch, tmp_path):
    """Runs the command without exporting; gives what the exporter was asked for, or the error."""

    def run(*arguments):
        calls = []

        def export(checkpoint, config, output, **options):
            calls.append(SimpleNamespace(checkpoint=Path(checkpoint), config=config, output=output, **options))
            raise OSError("asked")

        monkeypatch.setattr("exporters.pipeline.export", export)
        monkeypatch.setattr("conformance.shipping.checkpoint", lambda model, **options: tmp_path / "checkpoints" / model)
        monkeypatch.setattr("exporters.llm_config.check_model_class", lambda *args: None)
        done = invoke(*arguments)
        assert done.out == ""
        assert done.err.count("error: ") == 1
        return calls[0] if calls else done.err

    return run


@pytest.fixture
def documented(tmp_path, monkeypatch):
    """The files of the documentation, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


def _directory(command):
    return next((word for word in re.findall(r"out-\w+|\bout$", command)), "")


def test_the_documentation_shows_a_command_for_each_thing_that_is_run():
    assert set(ALWAYS_RUN) <= {_directory(command) for command in COMMANDS}
    assert {task for task in METHODS if any(f"--task {task} " in command for command in COMMANDS)} == set(METHODS)


@pytest.mark.parametrize("command", [each for each in COMMANDS if "--print-config" not in each], ids=_directory)
def test_a_documented_command_makes_the_methods_that_are_promised(request, documented, invoke, monkeypatch, command):
    if _directory(command) not in ALWAYS_RUN and request.config.getoption("--tier") != "nightly":
        assert request.getfixturevalue("asked")(*shlex.split(command)[1:]).config.recipe == "xnnpack"
        return
    if CACHE is None:
        monkeypatch.delenv("ZOO_CACHE")
    else:
        monkeypatch.setenv("ZOO_CACHE", CACHE)
    done = invoke(*shlex.split(command)[1:], "--no_check")
    assert done.code == 0, done.err
    directory = documented / _directory(command)
    account = json.loads((directory / "export.json").read_text(encoding="utf-8"))
    task = re.search(r"--task (\S+)", command)
    assert set(account["methods"]) == METHODS[task[1] if task else "text-generation"]
    assert (directory / account["file"]["name"]).stat().st_size == account["file"]["bytes"]
    if "lowered" in command:
        _check_what_debugging_promised(directory, account, done.out)


def _check_what_debugging_promised(directory, account, out):
    from executorch.devtools.etrecord import parse_etrecord

    from conformance.inference.base import program_of

    assert program_of(directory) == directory / "llama3_2.pte"
    assert account["file"]["name"] == "llama3_2.pte"
    record = parse_etrecord(str(directory / "etrecord.bin"))
    assert record.edge_dialect_program is not None
    assert "forward" in record._delegate_map
    trace = json.loads((directory / "memory_profile_forward.json").read_text(encoding="utf-8"))["traceEvents"]
    assert max(event["ts"] + event["dur"] for event in trace) > 0
    total = next(line for line in out.splitlines() if line.startswith("total"))
    delegation = account["delegation"]
    assert [int(word) for word in total.split()[1:]] == [
        sum(delegation[kind].values()) for kind in ("delegated", "undelegated")
    ]
    assert {"wrote out-lowered/etrecord.bin", "wrote out-lowered/memory_profile_forward.json"} <= set(out.splitlines())


def test_the_documented_way_to_look_at_a_configuration_prints_it(documented, invoke):
    (command,) = [each for each in COMMANDS if "--print-config" in each]
    printed = invoke(*shlex.split(command)[1:])
    assert printed.code == 0
    assert yaml.safe_load(printed.out)["quantization"] == {"qmode": "8da4w", "group_size": 64, "embedding_quantize": "4,32"}


def test_the_documentation_speaks_of_every_option_and_every_field():
    for name in OF_OPTIMUM:
        known = f"`--{name}`" in PAGE or (name.endswith("_group_size") and "with `_group_size`" in PAGE)
        assert known, name
    for path in paths():
        section = path.rpartition(".")[0]
        assert f"`{path}`" in PAGE or (section.startswith("backend.") and f"`{section}`" in PAGE), path


def test_the_misspelt_key_is_answered_as_documented(documented, invoke):
    text = (documented / "quantized.yaml").read_text(encoding="utf-8").replace("use_sdpa_with_kv", "use_sdpa_withp_kv")
    (documented / "quantized.yaml").write_text(text, encoding="utf-8")
    shown = re.search(r"```\n(error: quantized.*?) …\n```", PAGE)[1]
    done = invoke("--config", "quantized.yaml")
    assert (done.code, done.err[: len(shown)]) == (2, shown)


def test_files_overrides_and_options_win_in_this_order(asked, tmp_path):
    text = "model: {dtype_override: fp16}\nexport: {max_seq_length: 32, output_dir: a}\n"
    (tmp_path / "a.yaml").write_text(text, encoding="utf-8")
    file = ("--config", "a.yaml", "--model", "smollm2-135m")
    assert (asked(*file).config, asked(*file).output) == (ExportConfig(dtype="fp16", max_seq_len=32), "a")
    assert asked(*file, "+model.dtype_override=bf16").config.dtype == "bf16"
    assert asked(*file, "model.dtype_override=bf16", "--dtype", "float32").config == ExportConfig(max_seq_len=32)
    assert asked(*file, "--output-dir", "b", "--max-seq-len", "16").output == "b"
    assert asked(*file, "+export.output_name=x", "--etrecord").name == "x.pte"
    assert asked(*file, "--etrecord").debug == DebugFiles(etrecord=True)


def test_overrides_need_no_file(asked):
    found = asked("+base.checkpoint=smollm2-135m", "model.use_sdpa_with_kv_cache=True")
    assert (found.output, found.config) == (".", ExportConfig(use_custom_sdpa=True, use_custom_kv_cache=True))


@pytest.fixture
def invoke(invoke):
    """Runs ``export`` if no command is named."""
    return lambda *arguments: invoke(*(arguments if arguments[:1] == ("export",) else ("export", *arguments)))


def test_what_is_printed_asks_for_the_same(invoke, tmp_path):
    options = ("--model", "smollm2-135m", "--qlinear", "8da8w", "--use_custom_kv_cache", "--verbose", "--no_check", "-o", "out")
    first = invoke(*options, "--print_config")
    (tmp_path / "printed.yaml").write_text(first.out, encoding="utf-8")
    again = invoke("--config", "printed.yaml", "--print_config")
    assert (first.code, again.code) == (0, 0)
    assert again.out == first.out
    assert yaml.safe_load(first.out)["options"] == {"use_custom_kv_cache": True, "qlinear": "8da8w", "check": False}
    assert set(tmp_path.iterdir()) == {tmp_path / "printed.yaml"}


def test_every_option_of_optimum_is_known_by_its_name():
    import typer

    command = typer.main.get_command(cli.app).commands["export"]
    names = {name for parameter in command.params for name in parameter.opts}
    assert {f"--{name}" for name in OF_OPTIMUM} | {"-m", "-o"} <= names


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--device", "cuda:0"), "--device cuda:0: programs are traced on the CPU"),
        (("--gguf_file", "x.gguf"), "safetensors only"),
        (("--quantize-dtype", "bfloat16"), "weights are quantized in --dtype"),
        (("--qlinear_packing_format", "tile_packed_to_4d"), "for CUDA and Metal"),
        (("--qlinear-encoder-packing-format", "tile_packed_to_4d"), "for CUDA and Metal"),
        (("--qlinear", "fpa4w"), "it is for MPS; use 4w"),
        (("--qlinear_encoder", "fpa4w"), "it is for MPS; use 4w"),
        (("--recipe", "coreml"), "made for CPUs; use xnnpack or portable"),
        (("--task", MULTIMODAL), "smollm2-135m is registered for text-generation"),
        (("--metadata", "{"), "is no JSON"),
        (("--output_name", "a/b"), "output_name 'a/b' is no file name"),
        (("smollm2",), "'smollm2' is no override"),
        (("--config", "none.yaml"), "none.yaml does not exist"),
        (("base.params=none.json",), "base.params none.json does not exist"),
    ],
)
def test_what_is_for_others_is_refused_by_name(asked, options, told):
    assert told in asked(*EXPORT, *options)


@pytest.mark.parametrize(
    "options", [("--device", "cpu"), ("--quantize_dtype", "float32"), ("--quantize_dtype", "float16", "--dtype", "fp16")]
)
def test_what_is_so_anyway_may_be_said(asked, options):
    assert asked(*EXPORT, *options).config.recipe == "xnnpack"


def test_nothing_is_exported_without_a_model_or_a_place(asked):
    assert "which model? Give --model" in asked("--output_dir", "out")
    assert "where to? Give a directory for smollm2-135m with --output_dir" in asked("--model", "smollm2-135m")


def test_a_class_of_models_is_a_row_of_the_registry_or_its_checkpoint_on_the_hub(asked, capsys):
    assert asked("base.model_class=qwen3_0_6b").checkpoint.name == "qwen3-0.6b"
    assert asked("base.model_class=qwen3_1_7b").checkpoint.parts[-2:] == ("Qwen", "Qwen3-1.7B")
    assert "base.model_class llama2 names no published checkpoint" in asked("base.model_class=llama2")


@pytest.mark.parametrize(
    ("configuration", "task"),
    [({"vision_config": {}}, "image-text-to-text"), ({"audio_config": {}}, "audio-text-to-text")],
)
def test_optimums_name_of_multimodal_tasks_is_resolved_by_the_checkpoint(asked, tmp_path, configuration, task):
    (tmp_path / "checkpoints" / "mine").mkdir(parents=True)
    (tmp_path / "checkpoints" / "mine" / "config.json").write_text(json.dumps(configuration), encoding="utf-8")
    assert asked("--model", "mine", "--task", MULTIMODAL, "-o", "out").task == task
    assert asked("--model", "smolvlm-256m", "--task", MULTIMODAL, "-o", "out").task == "image-text-to-text"


def test_a_checkpoint_of_another_class_is_refused(invoke, monkeypatch, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    monkeypatch.setattr("conformance.shipping.checkpoint", lambda *args, **kwargs: tmp_path)
    done = invoke("base.model_class=qwen3_0_6b", "base.checkpoint=mine")
    assert (done.code, "do not belong together" in done.err) == (2, True)


def test_a_debug_file_that_is_not_there_fails_the_command(invoke, monkeypatch, tmp_path):
    from exporters.artifact import Artifact

    account = SimpleNamespace(
        quantization={"skipped": []},
        stages=[],
        file=SimpleNamespace(bytes=1, name="model.pte"),
        configuration_id="",
        methods=["forward"],
    )
    monkeypatch.setattr("exporters.pipeline.export", lambda *args, **kwargs: Artifact(tmp_path, account))
    monkeypatch.setattr("conformance.shipping.checkpoint", lambda *args, **kwargs: tmp_path)
    done = invoke("--model", "smollm2-135m", "-o", "out", "--etrecord", "--profile_memory")
    assert done.code == 2
    assert "etrecord.bin" in done.err
    assert "memory_profile_forward.json was not written, though the program was" in done.err


def test_help_shows_options_in_groups(invoke):
    lines = invoke("--help").out.splitlines()
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "What is exported:",
        "How it runs:",
        "Quantization:",
        "Shapes:",
        "What is written:",
        "Debugging:",
        "Options:",
    ]


FULL = """
import resource
from conformance.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
main()
"""


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_that_finds_no_space_says_where_and_leaves_what_was_there(tmp_path, format):
    """With a limit to the size of files. What native code makes of an error would end the process."""
    checkpoint = resolve(registry.get("smollm2-135m"), "twin")
    place = tmp_path / "out"
    place.mkdir()
    (place / "export.json").write_text("another")
    done = subprocess.run(
        [sys.executable, "-c", FULL, "export", f"--model={checkpoint}", f"--format={format}", f"--output_dir={place}"],
        env=os.environ | {"PYTHONPATH": os.fspath(ROOT), "TMPDIR": os.fspath(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    error = rf"^error: cannot write to {tmp_path}\S*: File too large\. .*space\.$"
    assert re.search(error, done.stderr, re.MULTILINE), done.stderr
    assert {path.name: path.read_text() for path in place.iterdir()} == {"export.json": "another"}
