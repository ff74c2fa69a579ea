"""Arbitrary input of configurations, records and the command: what is not valid is refused in one clear line."""

import contextlib
import dataclasses
import io
import json
import os

import click
import pytest
import typer.main
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conformance import cli
from conformance.cli import console
from conformance.errors import ConformanceError
from conformance.record import Record, read
from exporters import ExportConfig
from exporters.errors import ExportError
from zoo import registry

FIELDS = [field.name for field in dataclasses.fields(ExportConfig)]
PARTS = "portable xnnpack fp32 fp16 bf16 sdpa kv kv8 8da4w 4w 8w g32 pc emb8w enc8da4w shared static sink4w28 encemb4w g0 g٣"
WORDS = [*PARTS.split(), "8da4w+8da8w", "g" + "9" * 400, ""]
VALUE_WORDS = [*WORDS, "8da4w,8da8w", "4,28", "custom"]
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=5))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=12,
)
ANYTHING = st.one_of(SCALARS, JSON, st.sampled_from(VALUE_WORDS), st.tuples(st.integers()))
IDS = st.one_of(st.text(), st.lists(st.sampled_from(WORDS), max_size=8).map("-".join))


def holds(config):
    """A configuration that was accepted has an id and a mapping that say it again."""
    assert ExportConfig.from_mapping(config.to_mapping()) == config
    kept = {name: getattr(config, name) for name in ("max_seq_len", "max_source_len", "image_size", "allow_skipped_layers")}
    assert ExportConfig.from_id(config.id, **kept).id == config.id


@given(text=IDS)
@settings(max_examples=300, deadline=None)
@example("xnnpack-fp32\n")
@example("xnnpack-fp32-8da4w-g" + "9" * 5000)
@example("xnnpack-fp32-sdpa-kv-sink4w" + "9" * 5000)
@example("xnnpack-fp32-8da4w-g٣٢")
def test_any_text_is_a_configuration_or_refused(text):
    config = refusal = None
    try:
        config = ExportConfig.from_id(text)
    except ExportError as error:
        refusal = str(error)
    if config is None:
        assert refusal is not None
        assert "\n" not in refusal
    else:
        assert config.id == text
        holds(config)


@given(values=st.dictionaries(st.one_of(st.sampled_from(FIELDS), st.text(max_size=10)), ANYTHING, max_size=8))
@settings(max_examples=500, deadline=None)
@example({"recipe": []})
@example({"qlinear": {}})
@example({"use_attention_sink": 1, "use_custom_sdpa": True, "use_custom_kv_cache": True})
def test_any_mapping_is_a_configuration_or_refused(values):
    try:
        config = ExportConfig.from_mapping(values)
    except ExportError:
        return
    holds(config)


RECORD = {
    "created": "2026-11-21T08:00:00+00:00",
    "model": "smollm2-135m",
    "family": "smollm2",
    "task": "text-generation",
    "scale": "twin",
    "hub_id": None,
    "revision": None,
    "configuration": "portable-fp32",
    "status": "pass",
}


@pytest.fixture
def place(tmp_path):
    return tmp_path / "records.jsonl"


def reads(place, content):
    """Read what was written as a record or be told which line is none."""
    place.write_bytes(content)
    found, refusal = [], ""
    try:
        found = read(place)
    except ConformanceError as error:
        refusal = str(error)
    assert not refusal or str(place) in refusal
    assert all(isinstance(record, Record) for record in found)
    for record in found:
        again = Record.model_validate_json(record.model_dump_json())
        assert again == record


@given(value=JSON)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_json_is_a_record_or_refused(place, value):
    reads(place, json.dumps(value).encode())


@given(
    values=st.dictionaries(st.sampled_from([*Record.model_fields, "other"]), st.one_of(JSON, SCALARS.filter(bool)), max_size=4)
)
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_record_with_any_fields_is_one_or_refused(place, values):
    reads(place, json.dumps({**RECORD, **values}, default=repr).encode("utf-8", "surrogatepass"))


@given(content=st.one_of(st.binary(max_size=200), st.tuples(st.integers(0, 200), st.binary(max_size=5))))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_records_or_refused(place, content):
    if isinstance(content, tuple):  # a record with a few bytes in the place of others
        where, bytes_ = content
        sound = json.dumps(RECORD).encode()
        content = sound[:where] + bytes_ + sound[where + len(bytes_) :]
    reads(place, content)


COMMAND = typer.main.get_command(cli.app)
PARAMETERS = [parameter for command in COMMAND.commands.values() for parameter in command.params]
OPTIONS = sorted({name for parameter in PARAMETERS for name in parameter.opts if name.startswith("-")})
NASTY = [
    "",
    "-",
    "--",
    "../..",
    "/",
    "\x1b[31m",
    "a" * 3000,
    "\u202e",
    "[bold]",
    "smollm2@",
    "0",
    "-1",
    "1e309",
    "nan",
    "9" * 400,
]
KNOWN = "smollm2-135m smollm2 xnnpack-fp32 twin hub text-generation 1/2 2/1 . here.jsonl 8da4w"
VALUES = [*NASTY, *KNOWN.split()]
ARGUMENT = st.one_of(
    st.sampled_from(OPTIONS),
    st.sampled_from(VALUES),
    st.builds("{}={}".format, st.sampled_from(OPTIONS), st.sampled_from(VALUES)),
    st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=12),
)


@pytest.fixture(scope="module")
def nothing_happens(tmp_path_factory):
    """Nothing is exported, run, downloaded, or written outside of an empty directory; what would be fails in one line."""

    def instead(*args, **kwargs):
        raise ConformanceError("that far and no further")

    registry.models()
    before = os.getcwd()  # noqa: PTH109 - to be put back as it was
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("empty"))
        patch.setenv("ZOO_CACHE", "cache")
        patch.delenv("GITHUB_STEP_SUMMARY", raising=False)
        patch.setattr("conformance.worker.run_isolated", instead)
        patch.setattr("conformance.cli.running.run_cells", instead)
        patch.setattr("exporters.pipeline.export", instead)
        patch.setattr("zoo.checkpoints.download", instead)
        patch.setattr("zoo.checkpoints.resolve", instead)
        yield
    os.chdir(before)


def ran(arguments):
    """The exit code, and what the command printed on stderr."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert console.err.file is not err
    return caught.value.code, err.getvalue()


@given(
    command=st.one_of(st.sampled_from(sorted(COMMAND.commands)), st.text(max_size=8)), arguments=st.lists(ARGUMENT, max_size=5)
)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@example(command="run", arguments=["smollm2", "-c", "xnnpack-fp32", "--run", "a" * 3000])
@example(command="run", arguments=["--resume", "a\0b"])
@example(command="report", arguments=["--html", "/"])
@example(command="expectations", arguments=["--records", "/dev/null"])
def test_any_arguments_end_in_an_exit_code_and_one_line(nothing_happens, command, arguments):
    code, err = ran([command, *arguments])
    assert code in (0, 1, 2)
    assert "Traceback" not in err
    assert "\x1b" not in err
    told = [line for line in err.splitlines() if line.lower().startswith("error")]
    if code == 2:
        assert len(told) == 1 or command in ("", "--help")


def test_click_is_what_the_command_is_made_of():
    """The options above are read off the command: none would mean that nothing was tried."""
    assert isinstance(COMMAND, click.Group) or COMMAND.commands
    assert {"--configuration", "--scale", "--qlinear", "--records"} <= set(OPTIONS)
