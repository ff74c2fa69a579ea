"""Shards: every cell is in one of them, all machines cut alike, and none has much more to do than the others."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conformance import matrix
from conformance.errors import ConformanceError
from conformance.record import StageRecord
from conformance.sharding import SLACK, Shard, durations, partition
from zoo import registry

CELLS = matrix.cells(registry.select(()), tier="core")
COSTS = st.lists(st.floats(0, 1e4), min_size=len(CELLS), max_size=len(CELLS))


@given(costs=COSTS, count=st.integers(1, 30), some=st.integers(0, len(CELLS)))
@settings(deadline=None, max_examples=50)
def test_every_cell_is_in_one_part_and_no_part_has_much_more_to_do(costs, count, some):
    cells = CELLS[:some]
    cost = dict(zip((cell.name for cell in cells), costs, strict=False))
    parts = partition(cells, cost, count)
    assert len(parts) == count
    assert sorted(cell.name for part in parts for cell in part) == sorted(cell.name for cell in cells)
    mean = sum(cost.values()) / count
    longest = max(cost.values(), default=0)
    assert max(sum(cost[cell.name] for cell in part) for part in parts) <= max(SLACK * mean, mean + longest) * (1 + 1e-9)


@given(costs=COSTS, count=st.integers(1, 10), seed=st.integers())
@settings(deadline=None, max_examples=20)
def test_the_parts_do_not_depend_on_the_order_of_the_cells(costs, count, seed):
    cost = dict(zip((cell.name for cell in CELLS), costs, strict=True))
    shuffled = random.Random(seed).sample(CELLS, len(CELLS))
    assert [{cell.name for cell in part} for part in partition(CELLS, cost, count)] == [
        {cell.name for cell in part} for part in partition(shuffled, cost, count)
    ]


def test_a_models_cells_stay_together_where_that_leaves_the_parts_alike():
    cost = dict.fromkeys((cell.name for cell in CELLS), 1.0)
    parts = partition(CELLS, cost, 5)
    assert sum(len({cell.model.name for cell in part}) for part in parts) == len({cell.model.name for cell in CELLS})
    # A model as long as all others together cannot stay whole.
    heavy = CELLS[0].model.name
    cost |= {cell.name: 1000.0 for cell in CELLS if cell.model.name == heavy}
    assert sum(any(cell.model.name == heavy for cell in part) for part in partition(CELLS, cost, 4)) == 4


def test_the_longest_is_packed_first():
    """One after the other, 1, 1, 1, 1 and 4 would make parts of 2 and 6."""
    of_models = [cell for cell in CELLS if cell.configuration == "xnnpack-fp32"][:5]
    of_one = matrix.cells(registry.select((CELLS[0].model.name,)), tier="nightly")[:5]
    for cells in (of_models, of_one):
        assert len(cells) == 5
        for longest in cells:
            cost = {cell.name: 4.0 if cell is longest else 1.0 for cell in cells}
            loads = [sum(cost[cell.name] for cell in part) for part in partition(cells, cost, 2)]
            assert loads == [4.0, 4.0]


def test_a_cell_without_a_record_takes_the_median_of_its_like(make_record):
    def recorded(cell, *stages):
        return make_record(
            model=cell.model.name,
            task=cell.model.task,
            configuration=cell.configuration,
            stages=[StageRecord(name=name, seconds=seconds) for name, seconds in stages],
        )

    one, two, three, unknown = ("gemma3-270m", "qwen3-0.6b", "olmo-1b", "smollm2-135m")
    cells = matrix.cells(registry.select((one, two, three, unknown)), ("xnnpack-fp32", "portable-fp32"))
    by = {(cell.model.name, cell.configuration): cell for cell in cells}
    records = [
        recorded(by[one, "xnnpack-fp32"], ("export", 1.0), ("lower", 2.0)),
        recorded(by[two, "xnnpack-fp32"], ("export", 5.0)),
        recorded(by[three, "xnnpack-fp32"], ("export", 100.0)),
    ]
    expected = durations(cells, records)
    assert expected[f"{one}@xnnpack-fp32"] == 3.0
    assert expected[f"{unknown}@xnnpack-fp32"] == 5.0  # of the task and the configuration: 3, 5, 100
    assert expected[f"{unknown}@portable-fp32"] == 5.0  # of the task
    image = matrix.cells(registry.select(("resnet",)), ("xnnpack-fp32",))
    assert set(durations(image, records).values()) == {5.0}  # of all
    assert set(durations(image, []).values()) == {1.0}


def test_a_cell_that_does_not_apply_takes_nothing():
    cells = matrix.cells(registry.select(("mamba",)), tier="core")
    assert {durations(cells, [])[cell.name] for cell in cells if cell.inapplicable} == {0.0}


@pytest.mark.parametrize("text", ["0/5", "6/5", "x", "", "1", "1/0", "-1/5", "1/5/2", "1/1001", "1.0/2", "²/5", "٣/5"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(ConformanceError, match="such as 2/5"):
        Shard.parse(text)


def test_a_shard_is_read_as_it_is_written():
    assert Shard.parse(" 2/5 ") == Shard(2, 5)
    assert str(Shard(2, 5)) == "2/5"
