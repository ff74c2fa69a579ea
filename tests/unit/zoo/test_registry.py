import dataclasses
import re
import sys

import pytest

from zoo import Model, Prompt, Twin, ZooError, registry
from zoo.models.gemma3 import GEMMA3_270M


def row(**changes) -> Model:
    return dataclasses.replace(GEMMA3_270M, name="made-up", **changes)


@pytest.fixture(autouse=True)
def _restore(monkeypatch):
    registry.models()
    monkeypatch.setattr(registry, "_ROWS", dict(registry._ROWS))


def test_families_are_discovered_by_their_files():
    assert {"smollm2-135m", "qwen3-0.6b", "gemma3-270m"} <= set(registry.models())


def test_rows_are_found_by_name_and_by_task():
    assert registry.get("gemma3-270m") is GEMMA3_270M
    assert GEMMA3_270M in registry.by_task("text-generation")
    assert GEMMA3_270M not in registry.by_task("feature-extraction")


def test_models_and_families_are_selected_alike():
    assert registry.select(("gemma3-270m",)) == (GEMMA3_270M,)
    assert [model.name for model in registry.select(("gemma3",))] == ["gemma3-270m", "gemma3-4b"]
    assert len(registry.select(())) == len(registry.models())


@pytest.mark.parametrize(
    ("call", "given", "near"),
    [
        (registry.get, "gemma3-27m", "gemma3-270m"),
        (registry.by_task, "text-generatoin", "text-generation"),
        (lambda name: registry.select((name,)), "smolm2", "smollm2"),
    ],
    ids=("model", "task", "selection"),
)
def test_an_unknown_name_is_answered_with_the_nearest(call, given, near):
    with pytest.raises(ZooError) as error:
        call(given)
    assert repr(given) in str(error.value)
    assert repr(near) in str(error.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task": "telepathy"}, "unknown task 'telepathy'"),
        ({"wrapper": "Seq2SeqLMExportableModule"}, "uses CausalLMExportableModule"),
        ({"methods": ()}, "no method"),
        ({"traits": ("soft_caping",)}, "unknown trait 'soft_caping'.*soft_capping"),
        ({"prompts": ("Once.",)}, "two different reference prompts"),
        ({"prompts": ("Once.", "Once.")}, "two different reference prompts"),
    ],
)
def test_a_row_that_contradicts_itself_is_refused(changes, says):
    with pytest.raises(ZooError, match=says):
        registry.register(row(**changes))
    assert "made-up" not in registry.models()


def test_a_name_belongs_to_one_row():
    registry.register(row())
    registry.register(row())
    with pytest.raises(ZooError, match="registered twice"):
        registry.register(row(prompts=("Another.", "One more.")))


def test_every_row_states_its_source_and_is_pinned_or_says_that_it_is_not():
    for model in registry.models().values():
        assert model.hub_id is None or model.hub_id.count("/") == 1
        assert model.revision is None or len(model.revision) == 40


def test_values_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GEMMA3_270M.name = "other"
    with pytest.raises(TypeError):
        GEMMA3_270M.twin.config["head_dim"] = 1
    assert Prompt("a") == Prompt("a")
    assert Twin("llama", head_dim=16) == Twin("llama", head_dim=16) != Twin("llama", head_dim=32)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def :", "cannot be imported: SyntaxError"),
        ("from zoo.model import Model\nModel(nmae=1)", "cannot be imported: TypeError"),
        ("import dataclasses\nfrom zoo.registry import register\nfrom zoo.models.gemma3 import GEMMA3_270M\n"
         "register(dataclasses.replace(GEMMA3_270M, name='stray'))", "says family='gemma3'; say 'stray'"),
        ("import dataclasses\nfrom zoo.registry import register\nfrom zoo.models.gemma3 import GEMMA3_270M\n"
         "register(dataclasses.replace(GEMMA3_270M, name='a/b'))", "'a/b' cannot name a model"),
    ],
    ids=("syntax", "field", "family", "name"),
)  # fmt: skip
def test_a_model_file_with_a_mistake_is_named(monkeypatch, tmp_path, text, says):
    import zoo.models

    (tmp_path / "stray.py").write_text(text)
    monkeypatch.setattr(zoo.models, "__path__", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "zoo.models.stray", raising=False)
    registry.packaged.cache_clear()
    with pytest.raises(ZooError, match=re.escape(says)):
        registry.models()
    monkeypatch.undo()
    registry.packaged.cache_clear()
    assert "stray" not in registry.models()
