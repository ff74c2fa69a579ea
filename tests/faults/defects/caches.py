"""Defects of the exporter: how a decoder keeps keys, values and states from call to call."""

from __future__ import annotations

import torch

from exporters.attention import custom_sdpa, storage
from exporters.attention.cache import ExplicitPositionCache
from exporters.attention.ring import NEVER, RingCacheLayer
from exporters.attention.state import StateLayer
from exporters.config import ExportConfig
from tests.faults.defects import defect

SMOLLM = "smollm2-135m@xnnpack-fp32-sdpa-kv"
INT8 = "smollm2-135m@xnnpack-fp32-sdpa-kv8"
RINGS = "phi3-mini@xnnpack-fp32-sdpa-kv"


@defect("exporter", SMOLLM, caught_by="cache_state")
def cache_slot_overwritten(patch):
    """Keys and values are stored one position too early."""
    write = storage._write

    def early(buffer, values, start, slots):
        write(buffer, values, torch.sym_max(start - 1, 0), slots)

    patch.setattr(storage, "_write", early)


@defect("exporter", SMOLLM, caught_by="cache_state")
def a_cache_for_two_layers(patch):
    """Two layers write their keys and values to the same slots."""

    update = ExplicitPositionCache.update
    patch.setattr(ExplicitPositionCache, "update", lambda self, keys, values, layer, *_, **__: update(self, keys, values, 0))


@defect("exporter", SMOLLM, caught_by="cache_state")
def prefill_right_and_decode_wrong(patch):
    """Attention is told that every call begins a sequence."""
    call = custom_sdpa.call
    patch.setattr(custom_sdpa, "call", lambda start, sink=None: call(0, sink))


@defect("exporter", "mamba-130m@xnnpack-fp32-static", caught_by="cache_state")
def state_not_reset(patch):
    """The states of the convolution and the recurrence go on from one sequence to the next."""
    patch.setattr(StateLayer, "begin", lambda self, positions: None)


def seeing(patch, change):
    """Let rings take ``change(held, positions, ring)`` for the positions that their slots hold."""
    original = RingCacheLayer.key_positions

    def positions(self, at):
        count, offset = original(self, at)
        index = torch.arange(count)
        held, own = (offset + index).split([self.capacity, count - self.capacity])
        return count, torch.cat([change(held, at, self), own]) - index

    patch.setattr(RingCacheLayer, "key_positions", positions)


@defect("exporter", RINGS, caught_by="cache_state")
def ring_with_the_remainder_of_c(patch):
    """The slots of a ring are told by the remainder of a number that may be negative: the kernel's is C's and not Python's."""

    def held(_, at, ring):
        newest = at[:1] - 1
        found = newest - torch.remainder(newest - torch.arange(ring.length), ring.length)
        return torch.where(found >= 0, found, NEVER)

    seeing(patch, held)


@defect("exporter", RINGS, caught_by="cache_state")
def stale_ring(patch):
    """Slots that hold nothing of this sequence are taken for its past."""

    def held(positions, at, ring):
        return torch.where(positions < 0, (at[:1] - 1 - torch.arange(ring.capacity)).clamp(min=0), positions)

    seeing(patch, held)


@defect("exporter", RINGS, caught_by="cache_state")
def ring_too_small(patch):
    """A ring forgets one position too early."""
    build = RingCacheLayer.__init__

    def smaller(self, shape, *, window, **options):
        build(self, shape, window=window - 1, **options)

    patch.setattr(RingCacheLayer, "__init__", smaller)


@defect("exporter", RINGS, caught_by="cache_state")
def ring_filled_backwards(patch):
    """A call of several tokens stores them in each other's slots."""
    write = storage._write

    def backwards(buffer, values, start, slots):
        write(buffer, values.flip(1).contiguous(), start, slots)

    patch.setattr(storage, "_write", backwards)


@defect("exporter", "smollm2-135m@xnnpack-fp32-sdpa-kv-sink4w28", caught_by="cache_state")
def attention_sink_one_too_few(patch):
    """One of the first positions that are to be seen for ever is forgotten with the others."""
    asked = ExportConfig.attention_sink.fget

    def fewer(self):
        sinks, window = asked(self)
        return sinks - 1, window

    patch.setattr(ExportConfig, "attention_sink", property(fewer))


@defect("exporter", INT8, caught_by="cache_state")
def zero_points_lost(patch):
    """Of keys and values in 8 bits the zero points are not stored."""
    quantize = storage._quantize

    def symmetric(values):
        codes, scales, zero_points = quantize(values)
        return codes, scales, torch.zeros_like(zero_points)

    patch.setattr(storage, "_quantize", symmetric)


@defect("exporter", INT8, caught_by="cache_state")
def scale_of_the_position_before(patch):
    """Of keys and values in 8 bits the scales are stored one position too late."""
    quantize = storage._quantize

    def late(values):
        codes, scales, zero_points = quantize(values)
        return codes, scales.roll(1, dims=1), zero_points

    patch.setattr(storage, "_quantize", late)
