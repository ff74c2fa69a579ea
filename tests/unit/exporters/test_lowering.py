"""Accelerations of lowering: the bytes are upstream's, each can be taken alone, and nothing is left behind."""

import contextlib
import copy
import gc
import importlib.metadata
import pickle
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from conformance import matrix
from conformance.compare.lowering import lowered
from exporters import ExportConfig
from exporters import lowering as package
from exporters.lowering import ACCELERATIONS, lowering, notice, switched_off, xnnpack_passes
from exporters.lowering.acceleration import acceleration
from exporters.pipeline import Traced, load_model, register_operators, trace
from exporters.quantize import quantize
from exporters.workarounds import replaced
from zoo import registry
from zoo.checkpoints import resolve

XNNPACK = ExportConfig.from_id("xnnpack-fp32")


def traced_module(module, *inputs, dynamic_shapes=None):
    with torch.no_grad():
        program = torch.export.export(module.eval(), inputs, dynamic_shapes=dynamic_shapes, strict=False)
    return Traced({"forward": program}, {}, "", 0, [])


def representatives():
    """SmolLM2, under the configurations that every model is run under and some that round and forget."""
    ids = (*matrix.CORE[matrix.DECODER], "xnnpack-fp32-sdpa-kv8-sink4w28", "xnnpack-fp32-4w-static")
    return matrix.cells((registry.get("smollm2-135m"),), ids)


@pytest.mark.parametrize("cell", representatives(), ids=lambda cell: cell.name)
def test_the_program_of_a_cell_is_byte_for_byte_upstreams(cell):
    config = ExportConfig.from_id(cell.configuration, max_seq_len=cell.model.twin.max_seq_len)
    register_operators()

    def traced():  # once for each lowering, because upstream's changes what it lowers
        with torch.no_grad():
            model = load_model(resolve(cell.model))
            quantize(model, config)
            return trace(model, cell.model.task, config)

    ours, stock = traced(), traced()
    graphs = [{name: str(program.graph) for name, program in each.programs.items()} for each in (ours, stock)]
    assert graphs[0] == graphs[1]
    assert lowered(ours, config, stock=False).sha256 == lowered(stock, config, stock=True).sha256


class Call(nn.Module):
    """A module of a function, with the layers it uses."""

    def __init__(self, function, *layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs, *self.layers)


IMAGE = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
ROWS = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
REWRITTEN = {
    "linear": (Call(lambda x, a, b: b(functional.silu(a(x))), nn.Linear(8, 8), nn.Linear(8, 4, bias=False)), ROWS),
    "matrix product": (Call(lambda x: x @ x.transpose(1, 2)), ROWS),
    "convolution, batch norm, relu": (
        Call(lambda x, c, n: functional.relu(n(c(x))), nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)),
        IMAGE,
    ),
    "batch norm alone": (Call(lambda x, n: n(x), nn.BatchNorm2d(3)), IMAGE),
    "clipped sum": (Call(lambda x: functional.hardtanh(x + x)), IMAGE),
    "convolution of a sequence": (Call(lambda x, c: c(x), nn.Conv1d(6, 4, 3)), ROWS),
    "prelu": (Call(lambda x, p: p(x), nn.PReLU(3)), IMAGE),
    "pooling": (Call(lambda x: functional.max_pool2d(x, 2, stride=2)), IMAGE),
    "mean": (Call(lambda x: x.mean((-1, -2), keepdim=True)), IMAGE),
    "maximum": (Call(lambda x: x.max(dim=3, keepdim=True).values), IMAGE),
    "joining seven": (Call(lambda x: torch.cat([x + i for i in range(7)], 1)), ROWS),
    "padding": (Call(lambda x: functional.pad(x, (1, 1, 1, 1))), IMAGE),
    "copies": (Call(lambda x: (x.clone() + 1).half().float()), IMAGE),
    "channels last": (Call(lambda x: x + 1), IMAGE.to(memory_format=torch.channels_last)),
    "bilinear": (Call(lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear")), IMAGE),
    "attention": (Call(lambda x: functional.scaled_dot_product_attention(x, x, x)), IMAGE),
    "constants": (Call(lambda x: x * (torch.arange(8.0) + 1)), ROWS),
    "numbers and mixed types": (Call(lambda x: (x * 3 + torch.ones(8, dtype=torch.int64) / 2).half().float()), ROWS),
}
"""Programs with something for each pass to rewrite."""


@pytest.mark.parametrize("name", REWRITTEN)
def test_a_program_with_something_to_rewrite_is_byte_for_byte_upstreams(name):
    traced = traced_module(*REWRITTEN[name])
    assert lowered(traced, XNNPACK, stock=False).sha256 == lowered(traced, XNNPACK, stock=True).sha256


@pytest.mark.parametrize(
    ("name", "skipped"),
    [
        ("joining seven", "DecomposeConcatenate"),
        ("convolution, batch norm, relu", "FuseBatchNormPass"),
        ("convolution, batch norm, relu", "FuseActivationPass"),
        ("convolution, batch norm, relu", "ChannelsLastTaggedReshapePass"),
        ("convolution of a sequence", "Conv1dUnsqueezePass"),
        ("batch norm alone", "DecomposeBatchNorm"),
        ("maximum", "RemoveGetItemPass"),
    ],
)
def test_a_pass_that_is_wrongly_skipped_is_noticed(name, skipped, monkeypatch):
    rewriting = xnnpack_passes.rewriting

    def wrong():
        return {each: (lambda graph: False) if each.__name__ == skipped else would for each, would in rewriting().items()}

    traced = traced_module(*REWRITTEN[name])
    expected = lowered(traced, XNNPACK, stock=True).sha256
    assert lowered(traced, XNNPACK, stock=False).sha256 == expected
    monkeypatch.setattr(xnnpack_passes, "rewriting", wrong)
    try:
        found = lowered(traced, XNNPACK, stock=False).sha256
    except Exception as error:  # the delegate's serializer meets what the pass should have rewritten
        found = repr(error)
    assert found != expected


@pytest.fixture(scope="module")
def small():
    """A program with sizes that vary, an ATen operator to decompose and several partitions; and its bytes."""

    def block(x, a, b):
        scores = functional.softmax(a(x) @ x.transpose(1, 2), dim=-1)
        return b(functional.gelu(scores @ x) * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6)).cumsum(1)

    module = Call(block, nn.Linear(8, 8), nn.Linear(8, 8))
    traced = traced_module(module, ROWS, dynamic_shapes=(({1: torch.export.Dim("rows", min=2, max=64)},),))
    return traced, lowered(traced, XNNPACK, stock=True).sha256


@pytest.mark.parametrize("each", ACCELERATIONS, ids=lambda each: each.name)
def test_each_acceleration_alone_leaves_the_bytes(each, small, monkeypatch):
    traced, expected = small
    monkeypatch.setattr(package, "ACCELERATIONS", (each,))
    assert lowered(traced, XNNPACK, stock=False).sha256 == expected


def owners():
    from executorch.backends.xnnpack._passes import XNNPACKPassManager
    from executorch.exir import lowered_backend_module
    from executorch.exir.backend import backend_api
    from executorch.exir.backend.canonical_partitioners import group_partitioner
    from executorch.exir.passes.normalize_transpose_pass import NormalizeTransposePass
    from executorch.exir.passes.remove_mixed_type_operators import RemoveMixedTypeOperators
    from executorch.exir.passes.replace_aten_with_edge_pass import OpReplacePass
    from executorch.exir.passes.replace_broken_ops_with_function_ops_pass import ReplaceBrokenOpsWithFunctionalOpsPass
    from executorch.exir.passes.scalar_to_tensor_pass import ScalarToTensorPass
    from executorch.exir.passes.sym_to_tensor_pass import SymToTensorPass
    from torch._export import utils
    from torch.export import ExportedProgram, decomp_utils, exported_program
    from torch.fx import GraphModule, traceback
    from torch.fx.experimental.sym_node import SymNode
    from torch.fx.passes.infra import partitioner

    passes = (NormalizeTransposePass, RemoveMixedTypeOperators, OpReplacePass, ReplaceBrokenOpsWithFunctionalOpsPass)
    passes += (ScalarToTensorPass, SymToTensorPass, XNNPACKPassManager)
    modules = (backend_api, decomp_utils, exported_program, group_partitioner, lowered_backend_module, partitioner, traceback)
    return (*passes, *modules, utils, ExportedProgram, GraphModule, SymNode, group_partitioner.GroupBasedPartitioner)


def attributes():
    return {(owner, name): id(value) for owner in owners() for name, value in vars(owner).items()}


@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_put_back(fails):
    before = attributes()
    with contextlib.suppress(ZeroDivisionError), lowering() as applied:
        assert applied == tuple(each.name for each in ACCELERATIONS)
        changed = {key for key, value in attributes().items() if before.get(key) != value}
        assert {owner for owner, _ in changed} == set(owners())
        if fails:
            raise ZeroDivisionError
    assert attributes() == before
    assert gc.get_freeze_count() == 0


def test_a_replaced_attribute_that_was_inherited_is_removed_again():
    class Base:
        value = 1

    class Derived(Base):
        pass

    with replaced((Derived, "value", 2)):
        assert (Derived.value, Base.value) == (2, 1)
    assert "value" not in vars(Derived)


def test_stock_applies_nothing():
    before = attributes()
    with lowering(stock=True) as applied:
        assert applied == ()
        assert attributes() == before


def test_on_another_version_accelerations_switch_off_and_say_so(monkeypatch):
    assert not switched_off()
    assert notice() is None
    version = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "1.5.0" if name == "executorch" else version(name))
    off = switched_off()
    assert off["passes_with_something_to_rewrite"] == "executorch 1.5.0"
    assert "code_on_demand" not in off
    package._warn_once.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"executorch 1\.5\.0"), lowering() as applied:
        assert set(applied) == {each.name for each in ACCELERATIONS} - set(off)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with lowering():
            pass  # said already
    line = notice()
    assert "executorch 1.5.0" in line
    assert "passes_with_something_to_rewrite" in line


def test_an_acceleration_says_why_the_bytes_stay():
    assert all(len(each.reason) > 80 and each.checked_on for each in ACCELERATIONS)
    with pytest.raises(ValueError, match="why the bytes stay"):

        @acceleration(torch="2.13.0")
        def silent():
            yield


def test_code_is_generated_when_it_is_asked_for():
    plain = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
    with lowering():
        module = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
        assert module(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]
        for node in module.graph.nodes:
            if node.op == "output":
                with module.graph.inserting_before(node):
                    node.args = (module.graph.call_function(torch.neg, (node.args[0],)),)
        module.recompile()
        edited = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
    assert module(torch.tensor([-1.0, 2.0])).tolist() == [0.0, -2.0]
    assert edited.code == plain.code
    edited.recompile()
    assert edited.code == plain.code


def test_a_graph_can_be_pickled_while_its_code_is_not_generated():
    with lowering():
        module = torch.fx.symbolic_trace(nn.Sequential(nn.ReLU()))
        assert "def forward" in module.recompile().src
        inside, copied = pickle.dumps(module), copy.deepcopy(module)
        module.recompile()
    for again in (pickle.loads(inside), pickle.loads(pickle.dumps(module)), copied):
        assert again(torch.tensor([-1.0, 2.0])).tolist() == [0.0, 2.0]


def test_torchs_own_partitioner_partitions_as_ever():
    from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
    from torch.fx.passes.operator_support import OperatorSupportBase

    class Even(OperatorSupportBase):
        def is_node_supported(self, submodules, node):
            return node.op == "call_function" and len(node.name) % 2 == 0

    module = traced_module(Call(lambda x: ((x + 1) * x - 1).relu() + (x * 2)), ROWS).programs["forward"].graph_module

    def names():
        found = CapabilityBasedPartitioner(module, Even(), allows_single_node_partition=True).propose_partitions()
        return [{node.name for node in each.nodes} for each in found]

    expected = names()
    assert expected
    with lowering():
        assert names() == expected


def test_every_pattern_has_the_operators_that_are_looked_for():
    from executorch.backends.xnnpack.partition.graphs import bilinear_2d, sdpa

    for patterns, operators in (
        (bilinear_2d.get_graphs(), xnnpack_passes.bilinear_operators()),
        (sdpa.get_graphs(), xnnpack_passes.sdpa_operators()),
    ):
        assert patterns
        assert all(set(operators) <= {node.target for node in pattern.graph.nodes} for pattern in patterns)


def test_every_xnnpack_pass_is_known():
    from executorch.backends.xnnpack._passes import XNNPACKPassManager

    program = traced_module(Call(lambda x: x + x), ROWS).programs["forward"]
    assert set(xnnpack_passes.rewriting()) == set(XNNPACKPassManager(program).passes)


@st.composite
def graphs(draw):
    """A graph of sums, and nodes of it in groups."""
    graph = torch.fx.Graph()
    nodes = [graph.placeholder(f"x{i}") for i in range(draw(st.integers(1, 3)))]
    inputs = len(nodes)
    for _ in range(draw(st.integers(2, 14))):
        pair = draw(st.tuples(st.integers(0, len(nodes) - 1), st.integers(0, len(nodes) - 1)))
        nodes.append(graph.call_function(torch.add, (nodes[pair[0]], nodes[pair[1]])))
    graph.output(nodes[-1])
    groups = {}
    for node in nodes[inputs:]:
        groups.setdefault(draw(st.integers(0, 5)), []).append(node)
    return torch.fx.GraphModule(nn.Module(), graph), list(groups.values())


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_partitions_are_merged_as_upstream_merges_them(found):
    from executorch.exir.backend.canonical_partitioners.pattern_op_partitioner import (
        generate_grouped_partitions_from_list_of_nodes,
    )

    module, groups = found

    def partitions():
        return [list(each.nodes) for each in generate_grouped_partitions_from_list_of_nodes(module, groups)]

    expected = [set(nodes) for nodes in partitions()]
    with lowering():
        assert [set(nodes) for nodes in partitions()] == expected


@given(graphs(), st.randoms(use_true_random=False))
@settings(max_examples=100, deadline=None)
def test_nodes_and_their_users_are_ordered_as_upstream_orders_them(found, random):
    from executorch.exir import lowered_backend_module

    ours, stock = found[0], copy.deepcopy(found[0])
    shuffled = [node.name for node in ours.graph.nodes if node.op == "call_function"]
    random.shuffle(shuffled)
    for module in (ours, stock):
        nodes = {node.name: node for node in module.graph.nodes}
        for name in shuffled:
            module.graph._root.prepend(nodes[name])
    assert ours.graph is not stock.graph

    def order(legalized):
        return [(node.name, [user.name for user in node.users]) for node in legalized.graph.nodes]

    with lowering():
        found_order = order(lowered_backend_module.legalize_graph(ours))
    assert found_order == order(lowered_backend_module.legalize_graph(stock))
