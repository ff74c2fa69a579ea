import pytest
import torch

from exporters.passes import exact_tanh_gelu


class Gelu(torch.nn.Module):
    def __init__(self, approximate):
        super().__init__()
        self.approximate = approximate

    def forward(self, x):
        return torch.nn.functional.gelu(x, approximate=self.approximate)


INPUT = torch.linspace(-4, 4, 2001)[None]


def lowered(program):
    """What XNNPACK makes of a program."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.runtime import Runtime

    emitted = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()]).to_executorch()
    runtime = Runtime.get().load_program(emitted.buffer)
    return runtime.load_method("forward").execute([INPUT])[0]


@pytest.mark.parametrize(("approximate", "replaced"), [("tanh", 1), ("none", 0)])
def test_only_the_tanh_form_is_spelled_out(approximate, replaced):
    program = torch.export.export(Gelu(approximate), (INPUT,))
    assert exact_tanh_gelu(program) == replaced
    torch.testing.assert_close(program.module()(INPUT), Gelu(approximate)(INPUT), atol=1e-6, rtol=1e-6)
    assert exact_tanh_gelu(program) == 0


def test_the_delegate_then_computes_what_eager_computes():
    program = torch.export.export(Gelu("tanh"), (INPUT,))
    exact_tanh_gelu(program)
    assert float((lowered(program) - Gelu("tanh")(INPUT)).abs().max()) < 2e-6
