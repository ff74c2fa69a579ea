"""Files for debugging: they are there, they can be read, and what cannot be written is said."""

import json

import pytest
import torch

from exporters import ExportError, debugging
from exporters.artifact import Delegation
from exporters.debugging import DebugFiles, delegation_table


class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 8)

    def forward(self, inputs):
        return self.linear(inputs).relu() + 1


@pytest.fixture(scope="module")
def emitted():
    """A program of two methods, with an ETRecord to be had."""
    from executorch.exir import to_edge_transform_and_lower

    programs = {name: torch.export.export(Small(), (torch.zeros(1, 4),)) for name in ("encoder", "decoder")}
    return to_edge_transform_and_lower(programs, generate_etrecord=True).to_executorch()


def test_what_is_promised_is_there_and_can_be_read(emitted, tmp_path):
    from executorch.devtools.etrecord import parse_etrecord

    (tmp_path / "etrecord.bin").write_bytes(b"an earlier one")
    written = DebugFiles(etrecord=True, memory=True).write(emitted, ["decoder", "encoder"], tmp_path)
    assert [path.name for path in written] == ["etrecord.bin", "memory_profile_decoder.json", "memory_profile_encoder.json"]
    assert set(tmp_path.iterdir()) == set(written)
    assert set(parse_etrecord(str(written[0])).edge_dialect_program) == {"encoder", "decoder"}


def test_the_memory_trace_stays_within_what_the_program_plans(emitted, tmp_path):
    (path,) = DebugFiles(memory=True).write(emitted, ["encoder"], tmp_path)
    events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    plan = next(each for each in emitted.executorch_program.execution_plan if each.name == "encoder")
    assert {event["pid"] for event in events} == {1}
    largest = max(event["ts"] + event["dur"] for event in events)
    assert 0 < largest <= plan.non_const_buffer_sizes[1] < largest + 64  # buffers are aligned


def test_nothing_is_written_unasked(emitted, tmp_path):
    assert DebugFiles().write(emitted, ["encoder"], tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def fails(*args):
    raise RuntimeError("no room\nfor it")


@pytest.mark.parametrize("function", ["_check_etrecord", "_check_memory_trace", "_write_memory_trace"])
def test_what_cannot_be_written_or_read_is_named_and_not_left_behind(emitted, tmp_path, monkeypatch, function):
    monkeypatch.setattr(debugging, function, fails)
    (tmp_path / "memory_profile_encoder.json").write_text("an earlier one", encoding="utf-8")
    name = "etrecord.bin" if "etrecord" in function else "memory_profile_encoder.json"
    with pytest.raises(
        ExportError, match=f"{name} could not be written: RuntimeError: no room The program is complete"
    ) as caught:
        DebugFiles(etrecord=True, memory=True).write(emitted, ["encoder"], tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / name).exists()
    assert not list(tmp_path.glob("*.partial"))


def test_a_program_that_was_lowered_without_etrecord_has_none(tmp_path):
    from executorch.exir import to_edge_transform_and_lower

    emitted = to_edge_transform_and_lower(torch.export.export(Small(), (torch.zeros(1, 4),))).to_executorch()
    with pytest.raises(ExportError, match=r"etrecord\.bin could not be written"):
        DebugFiles(etrecord=True).write(emitted, ["forward"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_delegation_table_adds_up():
    table = delegation_table(
        Delegation(delegates=3, delegated={"aten_add_tensor": 5}, undelegated={"aten_add_tensor": 2, "le": 1})
    )
    assert table.splitlines() == [
        "delegated subgraphs: 3",
        "delegated nodes: 5",
        "non-delegated nodes: 3",
        "operator         delegated  not delegated",
        "aten_add_tensor          5              2",
        "le                       0              1",
        "total                    5              3",
    ]
