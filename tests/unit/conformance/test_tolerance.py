"""A program is allowed what its configuration rounds, and no more."""

import pytest

from conformance import matrix
from conformance.compare.tolerance import BF16, DYNAMIC_ACTIVATIONS, EXACT, FP16, INT8_CACHE, Tolerance, tolerance
from exporters import ExportConfig

IDS = {name for ids in (*matrix.CORE.values(), *matrix.NIGHTLY.values(), matrix.ROWS) for name in ids}


def of(configuration):
    return tolerance(ExportConfig.from_id(configuration))


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ("portable-fp32-shared-static", EXACT),
        ("xnnpack-fp32-sdpa-kv-sink4w28", EXACT),
        # Quantized weights with float activations are the same numbers in the baseline.
        ("xnnpack-fp32-4w-emb4w", EXACT),
        ("portable-fp32-8w-emb8w", EXACT),
        ("portable-fp16", FP16),
        ("xnnpack-bf16-emb8w", BF16),
        ("xnnpack-fp32-kv8", INT8_CACHE),
        ("xnnpack-fp32-8da8w", DYNAMIC_ACTIVATIONS),
        ("xnnpack-fp32-8da4w+8da8w", DYNAMIC_ACTIVATIONS),
    ],
)
def test_what_is_rounded_decides(configuration, expected):
    assert of(configuration) == expected


@pytest.mark.parametrize(
    ("configuration", "parts"),
    [
        ("xnnpack-fp16-kv8-8da4w", (FP16, INT8_CACHE, DYNAMIC_ACTIVATIONS)),
        ("xnnpack-bf16-kv8", (BF16, INT8_CACHE)),
        ("portable-fp16-kv8", (FP16, INT8_CACHE)),
        ("xnnpack-fp16-8da4w", (FP16, DYNAMIC_ACTIVATIONS)),
    ],
)
def test_several_limits_add_up(configuration, parts):
    assert of(configuration) == Tolerance(sum(part.relative for part in parts), sum(part.fed for part in parts))


@pytest.mark.parametrize("configuration", sorted(IDS))
def test_only_what_reduces_is_allowed_more_than_the_order_of_additions(configuration):
    found = of(configuration)
    assert found.exact == (found.relative is None) == (found.fed is None)
    assert found.exact or matrix.reduces(configuration)
    assert found.exact or found.fed <= found.relative < 0.25
