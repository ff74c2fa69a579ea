"""Reading programs from their files, held against ExecuTorch's own reader and against damage."""

import collections
import copy
import random
import shutil

import flatbuffers
import pytest

from exporters.errors import ExportError
from exporters.inspection import inspect
from exporters.inspection.flatbuffer import Buffer, FlatbufferError, Schema

WIDTH = 64
"""Features of the toy's linear layer, which two methods share."""


@pytest.fixture(scope="module")
def toys(tmp_path_factory):
    """A program of two methods that share a weight: delegated, the same with everything inside of the flatbuffer, and one
    without delegates; none has an account."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower

    class Toy(torch.nn.Module):
        def __init__(self, layer):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return torch.cumsum(torch.relu(self.layer(x)), dim=0)

    torch.manual_seed(0)
    layer = torch.nn.Linear(WIDTH, WIDTH)
    example = (torch.ones(4, WIDTH),)
    rows = {"x": {0: torch.export.Dim("rows", max=8)}}
    directory = tmp_path_factory.mktemp("toys")

    def lowered(partitioners):
        programs = {
            "encode": torch.export.export(Toy(layer), example),
            "decode": torch.export.export(Toy(layer), example, dynamic_shapes=rows),
        }
        constant = {"get_width": WIDTH, "get_ids": [1, 2], "get_pi": 3.5}
        return to_edge_transform_and_lower(programs, partitioner=partitioners, constant_methods=constant)

    def write(name, edge, **options):
        path = directory / f"{name}.pte"
        path.write_bytes(edge.to_executorch(ExecutorchBackendConfig(**options)).buffer)
        return path

    delegated = lowered([XnnpackPartitioner()])
    return {
        "inline": write("inline", copy.deepcopy(delegated), extract_delegate_segments=False),
        "delegated": write("delegated", delegated),
        "portable": write("portable", lowered(None)),
    }


@pytest.mark.parametrize("name", ["delegated", "inline", "portable"])
def test_it_reads_what_executorch_reads(toys, name):
    from executorch.exir._serialize._program import deserialize_pte_binary
    from executorch.exir.schema import DelegateCall, KernelCall

    found = inspect(toys[name])
    program = deserialize_pte_binary(toys[name].read_bytes()).program
    plans = {plan.name: plan for plan in program.execution_plan if plan.inputs}
    assert [method.name for method in found.methods] == list(plans)
    for method in found.methods:
        plan = plans[method.name]
        calls = [instruction.instr_args for instruction in plan.chains[0].instructions]
        names = [f"{operator.name}.{operator.overload}" for operator in plan.operators]
        kernels = collections.Counter(names[call.op_index] for call in calls if isinstance(call, KernelCall))
        assert {operator.name: operator.calls for operator in method.operators} == kernels
        assert method.instructions.get("delegate", 0) == sum(isinstance(call, DelegateCall) for call in calls)
        assert [buffer.bytes for buffer in method.memory] == plan.non_const_buffer_sizes[1:]
        for told, index in zip(method.inputs + method.outputs, plan.inputs + plan.outputs, strict=True):
            tensor = plan.values[index].val
            assert (told.shape, told.dtype) == (tensor.sizes, tensor.scalar_type.name.lower().replace("float", "float32"))
    assert {method.name: method.inputs[0].dynamism for method in found.methods} == {"encode": "static", "decode": "bounded"}
    assert found.constant_methods == {"get_width": WIDTH, "get_ids": [1, 2], "get_pi": 3.5}
    assert found.account is None


def test_it_counts_what_is_in_a_delegate(toys):
    found = inspect(toys["delegated"])
    for method in found.methods:
        (delegate,) = method.delegates
        assert delegate.nodes == {"FullyConnected": 1}  # the activation is a bound of its output
        assert method.delegation.delegated == 1
        assert method.delegation.undelegated == sum(operator.calls for operator in method.operators)
    # Both methods use the same weight and bias, which the file has once.
    (weights,) = (row for row in found.weights if row.place == "XNNPACK")
    assert (weights.dtype, weights.tensors, weights.bytes) == ("fp32", 2, 4 * WIDTH * (WIDTH + 1))
    assert {part.content for part in found.parts if part.kind == "named data"} == {"fp32"}


def test_a_method_without_delegates_keeps_its_weights_among_the_constants(toys):
    found = inspect(toys["portable"])
    assert {(row.place, row.dtype) for row in found.weights} == {("constants", "float32")}
    assert sum(row.bytes for row in found.weights) == 4 * WIDTH * (WIDTH + 1)
    assert all(method.delegation.share == 0 for method in found.methods)


@pytest.mark.parametrize("name", ["delegated", "inline", "portable"])
def test_the_parts_are_the_whole_file_in_order(toys, name):
    found = inspect(toys[name])
    at = 0
    for part in found.parts:
        assert part.offset == at
        at += part.bytes
    assert at == found.file.bytes == toys[name].stat().st_size
    assert ("delegate" in found.bytes_by_kind()) == (name != "portable")


def test_an_account_beside_a_file_is_held_against_it(artifact, tmp_path):
    found = inspect(artifact.directory)
    assert found.account.matches
    assert found.account.delegation.share == artifact.account.delegation.share
    methods = {method.name for method in found.methods}
    assert methods == set(artifact.account.methods)
    operators = {operator.name.rpartition(".")[0] or operator.name for one in found.methods for operator in one.operators}
    assert operators == set(artifact.account.realised.operators)
    # A program does not tell a list of one from its item.
    stated = artifact.account.constant_methods
    assert found.constant_methods == {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value for name, value in stated.items()
    }
    copy = tmp_path / "copy"
    shutil.copytree(artifact.directory, copy)
    program = copy / artifact.program.name
    program.chmod(0o644)
    damaged = bytearray(program.read_bytes())
    damaged[-1] ^= 255
    program.write_bytes(damaged)
    account = inspect(program).account
    assert not account.matches
    assert "checksum" in account.message
    assert inspect(program.rename(copy / "other.pte")).account.message == "it is of model.pte, not of other.pte."


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is no ExecuTorch program"),
        (b"ET12", "is no ExecuTorch program"),
        (b"\x00\x01\x02\x03BP08" + bytes(64), "bundled program"),
        (b"\x00\x01\x02\x03FT01" + bytes(64), "file of tensors"),
        (b"\x08\x00\x00\x00ET12" + b"\xff" * 64, "damaged"),
    ],
)
def test_what_is_no_program_is_refused_in_a_line(tmp_path, content, told):
    path = tmp_path / "x.pte"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=told) as caught:
        inspect(path)
    assert "\n" not in str(caught.value)
    with pytest.raises(ExportError, match="does not exist"):
        inspect(tmp_path / "none.pte")


@pytest.mark.parametrize("name", ["delegated", "inline"])
def test_damage_is_an_error_and_nothing_worse(toys, tmp_path, name):
    """Bytes that are changed, and files that are cut: read, or refused in one line."""
    whole = toys[name].read_bytes()
    path = tmp_path / "damaged.pte"
    chance = random.Random(name)
    refused = []
    for _ in range(400):
        damaged = bytearray(whole)
        if chance.random() < 0.3:
            del damaged[chance.randrange(len(damaged)) :]
        else:
            for _ in range(chance.choice((1, 5, 200))):
                damaged[chance.randrange(chance.choice((64, len(damaged))))] = chance.randrange(256)
        path.write_bytes(damaged)
        try:
            assert sum(part.bytes for part in inspect(path).parts) == len(damaged)
        except ExportError as error:
            refused.append(str(error))
    assert len(refused) > 100
    assert not [line for line in refused if "\n" in line]


def test_a_delegate_that_cannot_be_read_does_not_hide_the_rest(toys, tmp_path):
    damaged = bytearray(toys["delegated"].read_bytes())
    at = damaged.index(b"XH00")
    damaged[at : at + 4] = b"????"
    path = tmp_path / "odd.pte"
    path.write_bytes(damaged)
    method = inspect(path).methods[0]
    assert method.delegation is None
    assert method.delegates[0].unread == "it does not begin as a graph of XNNPACK does"


def test_tables_that_lie_in_each_other_too_often_are_refused():
    schema = Schema.parse("table Box { inner: [Box]; }")
    builder = flatbuffers.Builder()
    box = None
    for _ in range(40):
        builder.StartVector(4, 2 if box else 0, 4)
        for _ in range(2 if box else 0):
            builder.PrependUOffsetTRelative(box)
        inner = builder.EndVector()
        builder.StartObject(1)
        builder.PrependUOffsetTRelativeSlot(0, inner, 0)
        box = builder.EndObject()
    builder.Finish(box)

    def depth(table):
        return 1 + max(map(depth, table["inner"]), default=0)

    with pytest.raises(FlatbufferError, match="more often than its size allows"):
        depth(Buffer(bytes(builder.Output()), schema, "Box").root)


def test_a_schema_gives_defaults_enums_and_unions():
    schema = Schema.parse(
        """
        // A comment: with { braces }
        enum Colour : byte { RED = 0, GREEN = 4, BLUE }
        table Leaf { number: int = 7; wanted: bool = true; }
        union Any { Leaf, Other: Leaf }
        table Root { colour: Colour = GREEN; before: Any; text: string; after: [int64] (deprecated); }
        """
    )
    assert schema.enums["Colour"] == ("byte", {0: "RED", 4: "GREEN", 5: "BLUE"})
    assert {name: field.slot for name, field in schema.tables["Root"].items()} == {
        "colour": 0,
        "before": 2,
        "text": 3,
        "after": 4,
    }
    builder = flatbuffers.Builder()
    builder.StartObject(2)
    leaf = builder.EndObject()
    builder.StartObject(5)
    builder.PrependInt8Slot(1, 2, 0)
    builder.PrependUOffsetTRelativeSlot(2, leaf, 0)
    builder.Finish(builder.EndObject())
    root = Buffer(bytes(builder.Output()), schema, "Root").root
    assert (root["colour"], root["text"], root["after"], "text" in root) == ("GREEN", None, [], False)
    assert root["before"].member == "Other"
    assert (root["before"].table["number"], root["before"].table["wanted"]) == (7, True)
