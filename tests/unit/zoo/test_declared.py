"""Models that test files declare: found, told from the zoo's, and handed to child processes."""

import pickle
import sys
from types import SimpleNamespace

import pytest

from zoo import registry
from zoo.checkpoints import resolve
from zoo.errors import ZooError
from zoo.model import Model, Twin

ROW = """
from conformance import ModelConformance
from zoo import Model, Twin, get

OTHER = get("smollm2-135m")
{name} = Model(
    name="{model}",
    family="{model}",
    task="text-generation",
    wrapper="CausalLMExportableModule",
    methods=("forward",),
    prompts=("a", "b"),
    {source},
)


class TestIt(ModelConformance):
    model = {name}
"""


def row(**changes):
    """A row without weights."""
    values = dict(
        name="mine",
        family="mine",
        task="text-generation",
        wrapper="CausalLMExportableModule",
        methods=("forward",),
        prompts=("a", "b"),
    )
    return Model(**(values | changes))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty project, which commands are typed in; ``here.write`` adds a test file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ZOO_MODELS", raising=False)

    def write(path, *, name="MINE", model="mine", source='twin=Twin("llama")'):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(ROW.format(name=name, model=model, source=source))
        return file

    return SimpleNamespace(write=write, root=tmp_path)


@pytest.mark.parametrize("path", ["test_mine.py", "tests/test_mine.py", "tests/models/test_mine.py"])
def test_a_test_file_declares_a_model(here, path):
    file = here.write(path)
    assert registry.get("mine").twin.model_type == "llama"
    assert registry.file_of("mine").samefile(file)
    assert registry.file_of("smollm2-135m") is None
    assert list(registry.home()) == ["mine"]
    assert [model.name for model in registry.select(())] == ["mine"]
    assert [model.name for model in registry.select(("smollm2-135m",))] == ["smollm2-135m"]


def test_files_that_declare_nothing_are_not_imported(here):
    for name, text in (
        ("test_a.py", "raise SystemExit('ModelConformance')"),
        ("test_b.py", "def test():\n    MINE = Model(1)  # ModelConformance\n"),
        ("conftest.py", "MINE = Model()  # ModelConformance"),
    ):
        (here.root / name).write_text(text)
    assert registry.home() == registry.models()


def test_other_files_are_named_in_a_variable(here, monkeypatch):
    file = here.write("src/checks/test_mine.py")
    assert "mine" not in registry.models()
    monkeypatch.setenv("ZOO_MODELS", "src/checks/test_mine.py")
    assert registry.file_of("mine").samefile(file)
    monkeypatch.setenv("ZOO_MODELS", "src/checks/none.py")
    with pytest.raises(ZooError, match=r"ZOO_MODELS names .*none.py, which does not exist"):
        registry.models()


def test_a_file_that_cannot_be_imported_is_named(here):
    file = here.write("test_mine.py")
    file.write_text(f"{file.read_text()}\nimport nothing_of_this_name\n")
    with pytest.raises(ZooError, match=r"test_mine.py cannot be imported: ModuleNotFoundError"):
        registry.models()


def test_a_row_belongs_to_the_file_that_assigns_it(here):
    file = here.write("tests/test_second.py")
    importing = here.write("tests/test_first.py", name="OTHERS", model="others")
    importing.write_text(f"from test_second import MINE\n{importing.read_text()}")
    assert registry.file_of("mine").samefile(file)
    assert registry.file_of("others").samefile(importing)
    assert str(here.root / "tests") not in sys.path


def test_a_name_is_given_once(here):
    here.write("test_a.py")
    here.write("test_b.py", source='twin=Twin("qwen3")')
    with pytest.raises(ZooError, match=r"'mine' is declared twice"):
        registry.models()


def test_a_name_of_the_zoo_is_taken(here):
    here.write("test_a.py", model="gpt2")
    with pytest.raises(ZooError, match=r"'gpt2' is taken by the zoo"):
        registry.models()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (dict(twin=Twin("llama"), checkpoint="x"), "a twin and a checkpoint that takes its place"),
        (dict(checkpoint="x", full=dict(hidden_size=1)), "give it a twin"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, told):
    with pytest.raises(ZooError, match=told):
        registry.check(row(**changes))


def test_a_checkpoint_takes_the_twins_place(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    model = row(checkpoint=tmp_path)
    with pytest.raises(ZooError, match=r"no \*.safetensors"):
        resolve(model)
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert resolve(model) == tmp_path


@pytest.mark.parametrize(("hub_id", "told"), [("a/b", r"use --scale hub \(a/b\)"), (None, "give it a checkpoint=")])
def test_a_model_without_weights_here_says_where_they_are(hub_id, told):
    with pytest.raises(ZooError, match=told):
        resolve(row(hub_id=hub_id))


def test_a_row_reaches_another_process_as_it_is():
    for model in (row(twin=Twin("llama", seed=3, image_size=8, add_bos=True, rope={"a": (1, 2)})), *registry.models().values()):
        assert pickle.loads(pickle.dumps(model)) == model
