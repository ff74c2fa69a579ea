"""Patches are taken back, fixes are run in order, and nothing that is registered is passed over in silence."""

import pytest
import torch

from exporters import workarounds
from exporters.errors import ExportError
from exporters.workarounds import (
    apply_fx_node_fixes,
    apply_fx_program_fixes,
    apply_patches,
    register_fx_node_fix,
    register_fx_program_fix,
    register_patch,
)


class Owner:
    @staticmethod
    def static():
        return "static"

    @classmethod
    def of_class(cls):
        return cls.__name__

    def method(self):
        return "method"


class Derived(Owner):
    pass


HERE = __name__


@pytest.fixture(autouse=True)
def empty(workarounds):
    """No workaround is registered."""
    for registry in ("_patches", "_node_fixes", "_program_fixes"):
        getattr(workarounds, registry).clear()


def program(module, *inputs):
    return torch.export.export(module, inputs)


@pytest.mark.parametrize("name", ["static", "of_class", "method"])
def test_a_patch_wraps_the_original_and_is_taken_back(name):
    @register_patch("onnx", f"{HERE}.Owner.{name}")
    def patched(original):
        return lambda *args: f"patched {original(*args)}"

    before, found = vars(Owner)[name], getattr(Owner(), name)()
    with apply_patches("onnx"):
        assert getattr(Owner(), name)() == f"patched {found}"
    assert vars(Owner)[name] is before


def test_everything_is_as_before_after_an_error_and_an_inherited_attribute_is_not_left_behind():
    register_patch("onnx", f"{HERE}.Derived.method", "torch.nn.functional.silu")(lambda original: lambda *_: "patched")
    silu = torch.nn.functional.silu

    def fail():
        with apply_patches("onnx"):
            assert Derived().method() == "patched" == torch.nn.functional.silu(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert Derived().method() == "method"
    assert "method" not in vars(Derived)
    assert torch.nn.functional.silu is silu


def test_patches_of_one_attribute_and_nested_blocks_build_on_each_other():
    register_patch("onnx", f"{HERE}.Owner.method")(lambda original: lambda self: f"a({original(self)})")
    register_patch("onnx", f"{HERE}.Owner.method")(lambda original: lambda self: f"b({original(self)})")
    register_patch("dynamo", f"{HERE}.Owner.method")(lambda original: lambda self: f"c({original(self)})")
    with apply_patches("onnx"):
        with apply_patches("dynamo"):
            assert Owner().method() == "c(b(a(method)))"
        assert Owner().method() == "b(a(method))"
    assert Owner().method() == "method"


def test_a_patch_of_what_upstream_no_longer_has_is_an_error_and_leaves_nothing():
    register_patch("onnx", f"{HERE}.Owner.method", "torch.nn.functional.no_such_function")(
        lambda original: lambda *_: "patched"
    )
    with pytest.raises(ExportError, match="no_such_function"), apply_patches("onnx"):
        pass
    assert Owner().method() == "method"


@pytest.mark.parametrize("use", [register_patch, register_fx_node_fix, register_fx_program_fix])
def test_an_unknown_backend_is_an_error(use):
    with pytest.raises(ExportError, match="Did you mean 'onnx'"):
        use("onxx")


def test_a_patch_needs_a_path():
    with pytest.raises(ExportError, match=r"torch\.split"):
        register_patch("onnx")


def test_a_node_that_a_fix_dealt_with_is_seen_by_no_other():
    seen = []

    @register_fx_node_fix("onnx")
    def sine_for_cosine(graph_module, node):
        if node.target is not torch.ops.aten.cos.default:
            return False
        with graph_module.graph.inserting_before(node):
            node.replace_all_uses_with(graph_module.graph.call_function(torch.ops.aten.sin.default, node.args))
        return True

    @register_fx_node_fix("onnx")
    def watch(graph_module, node):
        seen.append(str(node.target))
        return False

    class Module(torch.nn.Module):
        def forward(self, values):
            return values.exp() + values.cos()

    exported = program(Module(), torch.zeros(3))
    assert apply_fx_node_fixes("onnx", exported.graph_module) == 1
    assert seen == ["aten.exp.default", "aten.add.Tensor"]
    assert "cos" not in exported.graph_module.code
    torch.testing.assert_close(exported.module()(torch.ones(3)), torch.ones(3).exp() + torch.ones(3).sin())
    assert apply_fx_node_fixes("dynamo", exported.graph_module) == 0


def test_program_fixes_run_in_the_order_of_registration():
    ran = []
    register_fx_program_fix("executorch")(lambda program: ran.append("first"))
    register_fx_program_fix("executorch")(lambda program: ran.append("second"))
    apply_fx_program_fixes("executorch", None)
    assert ran == ["first", "second"]


def test_the_recipes_workarounds_are_registered(monkeypatch):
    monkeypatch.undo()
    from exporters.recipes import portable, xnnpack

    for recipe in (portable, xnnpack):
        assert workarounds._program_fixes[recipe.BACKEND]
    assert [patch.path.rpartition(".")[2] for patch in workarounds._patches[xnnpack.BACKEND]] == ["from_weights"]
