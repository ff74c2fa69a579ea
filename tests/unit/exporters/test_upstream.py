"""Faults of the pinned stack (docs/upstream.md). A test that fails here means that a fault is mended, and that its
workaround, if there is one, can go."""

import pytest
import torch

from exporters.passes import exact_tanh_gelu


def run(module, example, *inputs, dynamic_shapes=None, partitioner=()):
    """Export, lower and run a module: its first output for each input."""
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    program = torch.export.export(module, (example,), dynamic_shapes=dynamic_shapes)
    emitted = to_edge_transform_and_lower(program, partitioner=list(partitioner)).to_executorch()
    method = Runtime.get().load_program(emitted.buffer).load_method("forward")
    return [method.execute([value])[0] for value in inputs]


def test_portable_remainder_of_a_negative_integer_follows_c():
    class Remainder(torch.nn.Module):
        def forward(self, x):
            return torch.remainder(x, 5)

    values = torch.tensor([-7, -5, -1, 0, 3, 7])
    assert Remainder()(values).tolist() == [3, 0, 4, 0, 3, 2]
    assert run(Remainder(), values, values)[0].tolist() == [-2, 0, -1, 0, 3, 2]


def test_xnnpack_gelu_ignores_the_tanh_approximation():
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    class Gelu(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.gelu(x, approximate="tanh")

    values = torch.linspace(-4, 4, 2001)[None]
    found = run(Gelu(), values, values, partitioner=[XnnpackPartitioner()])[0]
    assert float((found - Gelu()(values)).abs().max()) > 1e-4
    assert float((found - torch.nn.functional.gelu(values)).abs().max()) < 2e-6
    program = torch.export.export(Gelu(), (values,))
    assert exact_tanh_gelu(program) == 1


@pytest.mark.parametrize(
    ("function", "error"),
    [
        (lambda x: torch.nn.functional.max_pool2d(x, 2), "tuple index out of range"),
        (lambda x: x.max(dim=-1, keepdim=True).values, "only supports dim == 2 or dim == 3"),
    ],
    ids=("default stride", "negative dim"),
)
def test_xnnpack_partitions_what_it_then_cannot_read(function, error):
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner

    class Module(torch.nn.Module):
        def forward(self, x):
            return function(x)

    with pytest.raises(Exception, match=error):
        run(Module(), torch.zeros(1, 3, 8, 8), partitioner=[XnnpackPartitioner()])
