import copy

import pytest
import torch

from exporters.passes import bias_apart, equal_ranks, exact_tanh_gelu, means_of_whole_images, sums_in_fp32


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


@pytest.mark.parametrize(("dtype", "replaced"), [(torch.bfloat16, 1), (torch.float16, 1), (torch.float32, 0)])
def test_the_bias_of_a_layer_in_16_bits_is_added_afterwards(dtype, replaced):
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 8).to(dtype).requires_grad_(False)
    values = torch.randn(3, 64).to(dtype)
    program = torch.export.export(layer, (values,))
    assert bias_apart(program) == replaced
    torch.testing.assert_close(program.module()(values), layer(values), atol=0.02, rtol=0.02)
    assert bias_apart(program) == 0


def test_a_layer_without_a_bias_and_one_that_a_delegate_takes_are_left():
    values = torch.randn(3, 64, dtype=torch.float16)
    with_bias, without = (torch.nn.Linear(64, 8, bias=bias, dtype=torch.float16) for bias in (True, False))
    assert bias_apart(torch.export.export(without, (values,))) == 0
    assert bias_apart(torch.export.export(with_bias, (values,)), dtypes=(torch.bfloat16,)) == 0


LAYERS = {
    "convolution of a sequence": (torch.nn.Conv1d(8, 4, 3), (1, 8, 12)),
    "convolution": (torch.nn.Conv2d(8, 4, 3, bias=False), (1, 8, 6, 6)),
    "batch norm": (torch.nn.BatchNorm2d(8), (1, 8, 6, 6)),
    "average pool": (torch.nn.AvgPool2d(2), (1, 8, 6, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "changed"), [(torch.bfloat16, 1), (torch.float16, 1), (torch.float32, 0)])
def test_what_adds_up_in_16_bits_is_computed_in_fp32(name, dtype, changed):
    layer, shape = LAYERS[name]
    layer = copy.deepcopy(layer).to(dtype).eval().requires_grad_(False)
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    program = torch.export.export(layer, (values,))
    assert sums_in_fp32(program) == changed
    found = program.module()(values)
    assert found.dtype is dtype
    torch.testing.assert_close(found, layer(values), atol=0.01, rtol=0.01)
    assert sums_in_fp32(program) == 0
    assert {value.dtype for value in program.state_dict.values() if value.is_floating_point()} <= {dtype}


def test_sums_that_a_delegate_takes_are_left():
    layer, shape = LAYERS["convolution"]
    half = copy.deepcopy(layer).to(torch.float16).requires_grad_(False)
    assert sums_in_fp32(torch.export.export(half, (torch.zeros(shape).half(),)), dtypes=(torch.bfloat16,)) == 0


class Product(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


@pytest.mark.parametrize(
    ("shape", "changed"), [((32, 16), 1), ((16,), 1), ((1, 1, 16), 0), ((1, 32, 16), 0), ((32, 1), 0), ((), 0), (None, 0)]
)
def test_factors_of_unequal_rank_are_made_equal(shape, changed):
    module = Product(3.0 if shape is None else torch.rand(shape))
    values = torch.rand(1, 32, 1)
    program = torch.export.export(module, (values,))
    assert equal_ranks(program) == changed
    assert torch.equal(program.module()(values), module(values))
    assert equal_ranks(program) == 0


@pytest.mark.parametrize(
    ("options", "replaced"),
    [
        (dict(kernel_size=640, ceil_mode=True), 1),
        (dict(kernel_size=(7, 5)), 1),
        (dict(kernel_size=(7, 5), stride=1), 1),
        (dict(kernel_size=(9, 7), stride=9, padding=(2, 2), count_include_pad=False, ceil_mode=True), 1),
        # The padding counts, the divisor is another one, or the window does not cover the image.
        (dict(kernel_size=(8, 6), stride=8, padding=(1, 1), ceil_mode=True), 0),
        (dict(kernel_size=(7, 5), divisor_override=2), 0),
        (dict(kernel_size=(6, 5)), 0),
        (dict(kernel_size=(4, 4), stride=1), 0),
        (dict(kernel_size=(8, 6), padding=(2, 2), count_include_pad=False), 0),
    ],
)
def test_a_pool_over_the_whole_image_is_a_mean_and_others_are_not(options, replaced):
    class Pool(torch.nn.Module):
        def forward(self, image):
            return torch.nn.functional.avg_pool2d(image, **options) * 2

    image = torch.randn(1, 3, 7, 5, generator=torch.Generator().manual_seed(0))
    program = torch.export.export(Pool(), (image,))
    assert means_of_whole_images(program) == replaced
    targets = {node.target for node in program.graph.nodes}
    assert (torch.ops.aten.mean.dim in targets) == bool(replaced)
    torch.testing.assert_close(program.module()(image), Pool()(image))
    assert means_of_whole_images(program) == 0
