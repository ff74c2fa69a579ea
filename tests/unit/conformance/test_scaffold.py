"""``zoo new`` writes two files that are ready, or none."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conformance import matrix, scaffold
from conformance.errors import ConformanceError
from conformance.scaffold import new_family
from zoo import registry
from zoo.errors import ZooError
from zoo.model import TASKS

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _three_families(monkeypatch):
    """Whatever families are added: the registry holds the first three here."""
    known = {name: row for name, row in registry.models().items() if row.family in ("smollm2", "qwen3", "gemma3")}
    monkeypatch.setattr(registry, "_ROWS", known)


@pytest.fixture
def checkout(tmp_path):
    for name in ("zoo/models", "tests/models"):
        (tmp_path / name).mkdir(parents=True)
    return tmp_path


def new(root, family, *, task="text-generation", model_type=None, name=None, hub_id=None):
    return new_family(root, family, task=task, model_type=model_type, name=name, hub_id=hub_id)


def files(root):
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


def test_a_family_is_a_model_file_and_a_test_file(checkout):
    written = new(checkout, "olmo2")
    assert sorted(path.relative_to(checkout).as_posix() for path in written) == files(checkout)
    assert files(checkout) == ["tests/models/test_olmo2.py", "zoo/models/olmo2.py"]


VARIANTS = [
    {"family": "olmo2"},
    {"family": "tiny_llama", "model_type": "llama", "hub_id": "TinyLlama/TinyLlama-1.1B", "name": "tinyllama-1.1b"},
    {"family": "phi3", "name": "3-phi_mini"},
    {"family": "electra", "task": "fill-mask"},
    {"family": "mpnet", "task": "feature-extraction"},
    {"family": "gte", "task": "feature-extraction", "model_type": "qwen2", "name": "gte-qwen2"},
    {"family": "beit", "task": "image-classification", "hub_id": "microsoft/beit-base-patch16-224"},
]
NAMES = (
    "as it is",
    "all options",
    "odd name",
    "masked language model",
    "encoder of features",
    "decoder of features",
    "image classifier",
)


@pytest.mark.parametrize("options", VARIANTS, ids=NAMES)
def test_the_files_pass_ruff_in_a_project_like_this_one(checkout, options):
    pytest.importorskip("ruff")
    shutil.copy(ROOT / "pyproject.toml", checkout)
    (checkout / "conformance").mkdir()
    for name in ("conformance", "zoo", "zoo/models"):
        (checkout / name / "__init__.py").touch()
    new(checkout, **options)
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "."]
        done = subprocess.run(ruff, capture_output=True, text=True, cwd=checkout, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("options", VARIANTS, ids=NAMES)
def test_the_row_says_what_was_asked_for_and_registers(checkout, monkeypatch, options):
    monkeypatch.setattr(registry, "_ROWS", dict(registry.models()))
    source = new(checkout, **options)[0].read_text(encoding="utf-8")
    found = {}
    exec(compile(source, "row", "exec"), found)
    (row,) = [value for value in found.values() if isinstance(value, registry.Model)]
    assert row.family == options["family"]
    assert row.name == options.get("name", options["family"])
    assert row.hub_id == options.get("hub_id")
    assert row.twin.model_type == options.get("model_type", options["family"])
    assert registry.get(row.name) is row
    assert row.task == options.get("task", "text-generation")
    assert row.wrapper in TASKS[row.task]
    assert len(row.prompts) > 1


@pytest.mark.parametrize("options", VARIANTS, ids=NAMES)
def test_the_test_file_imports_the_name_that_the_model_file_defines(checkout, options):
    model, test = (ast.parse(path.read_text(encoding="utf-8")) for path in new(checkout, **options))
    defined = {node.targets[0].id for node in model.body if isinstance(node, ast.Assign)}
    imports = {node.module: node.names[0].name for node in test.body if isinstance(node, ast.ImportFrom)}
    assert {imports[f"zoo.models.{options['family']}"]} == defined


@pytest.mark.parametrize("present", ["zoo/models/olmo2.py", "tests/models/test_olmo2.py"], ids=("row", "tests"))
def test_a_file_that_exists_is_kept_and_nothing_is_written(checkout, present):
    (checkout / present).write_text("mine", encoding="utf-8")
    with pytest.raises(ConformanceError, match=r"exists already; nothing was written"):
        new(checkout, "olmo2")
    assert files(checkout) == [present]
    assert (checkout / present).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("family", ["", "Olmo2", "2olmo", "olmo-2", "../olmo2", "olmo2\n", "olmo.2", "ölmo", "class"], ids=repr)
def test_a_name_that_no_module_can_have_is_refused(checkout, family):
    with pytest.raises(ConformanceError) as caught:
        new(checkout, family, model_type="olmo2")
    assert repr(family) in str(caught.value)
    assert files(checkout) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": "Olmo 2"}, "'Olmo 2' cannot name a model"),
        ({"name": "../olmo2"}, "'../olmo2' cannot name a model"),
        ({"name": "qwen3-0.6b"}, "there is a model 'qwen3-0.6b' already"),
        ({"hub_id": "olmo2"}, "'olmo2' is no hub id"),
        ({"hub_id": 'a/b"c'}, "is no hub id"),
    ],
)
def test_a_row_that_the_registry_would_refuse_is_not_written(checkout, options, told):
    with pytest.raises(ConformanceError) as caught:
        new(checkout, "olmo2", **options)
    assert told in str(caught.value)
    assert files(checkout) == []


@pytest.mark.parametrize(("model_type", "near"), [("olmo_2", "'olmo2'"), ("lama", "'llama'")])
def test_an_unknown_model_type_is_refused_with_the_nearest_ones(checkout, model_type, near):
    with pytest.raises(ZooError) as caught:
        new(checkout, "mine", model_type=model_type)
    assert near in str(caught.value)
    assert "--model-type" in str(caught.value)
    assert files(checkout) == []


@pytest.mark.parametrize(
    ("task", "model_type", "wrapper"),
    [
        ("fill-mask", "bert", matrix.ENCODER),
        ("feature-extraction", "bert", matrix.ENCODER),
        ("feature-extraction", "qwen3", matrix.DECODER),
        ("image-classification", "resnet", matrix.VISION),
    ],
)
def test_the_wrapper_is_the_one_that_the_model_type_needs(checkout, task, model_type, wrapper):
    source = new(checkout, "mine", task=task, model_type=model_type)[0].read_text(encoding="utf-8")
    assert f'wrapper="{wrapper}"' in source


@pytest.mark.parametrize(
    ("task", "model_type", "told"),
    [
        ("text-generation", "vit", "'vit' is no causal language model, and 'text-generation' needs one"),
        ("fill-mask", "llama", "'llama' is no masked language model"),
        ("fill-mask", "bart", "'bart' is an encoder and a decoder"),
        ("feature-extraction", "resnet", "'resnet' is no encoder of text and no decoder of text"),
        ("image-classification", "bert", "'bert' is no image classifier"),
        ("image-classification", "dinov2_with_registers", "no image processor of it for PIL images"),
    ],
)
def test_a_model_type_that_the_task_cannot_take_is_refused(checkout, task, model_type, told):
    with pytest.raises(ConformanceError) as caught:
        new(checkout, "mine", task=task, model_type=model_type)
    assert told in str(caught.value)
    assert files(checkout) == []


def test_a_task_that_does_not_exist_is_named(checkout):
    with pytest.raises(ZooError, match=r"unknown task 'fill-masks'.*'fill-mask'"):
        new(checkout, "bert", task="fill-masks")


def test_a_task_whose_rows_are_written_by_hand_names_a_pattern(checkout, monkeypatch):
    monkeypatch.setattr(scaffold, "FORMS", {"fill-mask": scaffold.FORMS["fill-mask"]})
    with pytest.raises(ConformanceError, match=r"'text-generation' has to be written by hand.*zoo/models/gemma3.py"):
        new(checkout, "olmo2")
    assert files(checkout) == []


def test_a_directory_that_is_no_checkout_is_refused(tmp_path):
    with pytest.raises(ConformanceError, match="is no checkout"):
        new(tmp_path, "olmo2")


def test_a_write_that_fails_leaves_no_half_of_a_family(checkout, monkeypatch):
    write_text = Path.write_text

    def full_disk(path, *args, **kwargs):
        if "test_olmo2" in path.name:
            raise OSError(28, "No space left on device")
        return write_text(path, *args, **kwargs)

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises((OSError, ConformanceError)):
        new(checkout, "olmo2")
    assert files(checkout) == []
