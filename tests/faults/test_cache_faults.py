"""An off-by-one put into each cache on purpose: the state machine must find it."""

import functools

import pytest
import torch
from hypothesis.errors import Flaky

from conformance.cache_machine import Subject, WrongLogitsError, drive
from conformance.compare.tolerance import tolerance
from conformance.sessions.eager import baseline
from conformance.sessions.module import ModuleSession
from exporters import ExportConfig
from exporters.attention import custom_sdpa, storage
from exporters.attention.ring import RingCacheLayer
from exporters.attention.state import StateLayer
from exporters.attention.static import StaticCacheLayer
from exporters.pipeline import load_model, register_operators
from exporters.wrappers.causal_lm import CausalLMExportableModule
from zoo import registry
from zoo.checkpoints import resolve

FULL = ("smollm2-135m", "xnnpack-fp32-sdpa-kv")
PLAIN = ("smollm2-135m", "xnnpack-fp32")
RING = ("gemma3-270m", "xnnpack-fp32-sdpa-kv")
INT8 = ("smollm2-135m", "xnnpack-fp32-sdpa-kv8")
INT8_RING = ("gemma3-270m", "xnnpack-fp32-sdpa-kv8")
SINK = ("smollm2-135m", "xnnpack-fp32-sdpa-kv-sink4w28")
LOCAL = ("smollm2-135m", "xnnpack-fp32-sdpa-kv-lg16.0")
CONVOLUTION = ("lfm2-350m", "xnnpack-fp32-sdpa-kv")
RECURRENCE = ("mamba-130m", "xnnpack-fp32-static")


@functools.cache
def checkpoint(model):
    register_operators()
    torch.set_num_threads(1)
    return resolve(registry.get(model))


def subject(cell):
    model, configuration = cell
    config = ExportConfig.from_id(configuration, max_seq_len=64)
    network = load_model(checkpoint(model))
    program = ModuleSession(CausalLMExportableModule(network, config))
    return Subject(
        program=program,
        eager=baseline(checkpoint(model), config, 64),
        vocabulary=network.config.get_text_config().vocab_size,
        tolerance=tolerance(config),
        rewinds=program.rewinds,
        fail=lambda: None,
    )


@pytest.mark.parametrize("cell", [PLAIN, FULL, RING, INT8, INT8_RING, SINK, LOCAL, CONVOLUTION, RECURRENCE], ids="@".join)
def test_the_sound_module_passes(cell):
    drive(subject(cell), examples=15)


def plain_written_one_early(monkeypatch):
    update = StaticCacheLayer.update
    monkeypatch.setattr(
        StaticCacheLayer,
        "update",
        lambda self, keys, values, positions, start: update(self, keys, values, (positions - 1).clamp(min=0), start),
    )


def written_one_early(monkeypatch):
    write = storage._write
    monkeypatch.setattr(
        storage,
        "_write",
        lambda buffer, values, start, slots: write(buffer, values, start and start - 1, slots),
    )


def ring_one_too_short(monkeypatch):
    init = RingCacheLayer.__init__
    monkeypatch.setattr(
        RingCacheLayer, "__init__", lambda self, shape, *, window, **rest: init(self, shape, window=window - 1, **rest)
    )


def ring_one_too_long(monkeypatch):
    init = RingCacheLayer.__init__
    monkeypatch.setattr(
        RingCacheLayer, "__init__", lambda self, shape, *, window, **rest: init(self, shape, window=window + 1, **rest)
    )


def ring_slots_one_on(monkeypatch):
    positions = RingCacheLayer.key_positions

    def shifted(self, at):
        count, offset = positions(self, at)
        return count, torch.cat([offset[: self.capacity].roll(1), offset[self.capacity :]])

    monkeypatch.setattr(RingCacheLayer, "key_positions", shifted)


def one_sink_too_few(monkeypatch):
    allowed = custom_sdpa._sink_mask_function
    monkeypatch.setattr(custom_sdpa, "_sink_mask_function", lambda sinks, window: allowed(sinks - 1, window))


def sink_window_one_too_wide(monkeypatch):
    allowed = custom_sdpa._sink_mask_function
    monkeypatch.setattr(custom_sdpa, "_sink_mask_function", lambda sinks, window: allowed(sinks, window + 1))


def last_sink_overwritten(monkeypatch):
    write = storage.FloatStorage.write
    monkeypatch.setattr(
        storage.FloatStorage,
        "write",
        lambda self, values, start, slots: write(self, values, start, torch.where(slots == 4, 3, slots)),
    )


def scale_of_the_position_before(monkeypatch):
    dequantize = storage._dequantize
    monkeypatch.setattr(
        storage, "_dequantize", lambda codes, scales, zeros: dequantize(codes, scales.roll(1, dims=1), zeros.roll(1, dims=1))
    )


def zero_point_off_by_eight(monkeypatch):
    quantize = storage._quantize

    def shifted(values):
        codes, scales, zeros = quantize(values)
        return codes, scales, zeros + 8

    monkeypatch.setattr(storage, "_quantize", shifted)


def own_keys_not_rounded(monkeypatch):
    """A call attends to its own keys as they were, and later calls to what 8 bits left of them, with one bit less."""
    monkeypatch.setattr(storage.Int8Storage, "rounded", lambda self, values: values * 0.9)


def convolution_one_late(monkeypatch):
    def extend(self, inputs):
        seen = torch.cat([self.convolution, inputs], dim=-1)
        self.convolution.copy_(seen[..., -self.convolution.shape[-1] - 1 : -1])
        return seen

    monkeypatch.setattr(StateLayer, "extend", extend)


def state_kept_at_the_start(monkeypatch):
    monkeypatch.setattr(StateLayer, "begin", lambda self, positions: None)


FAULTS = [
    (plain_written_one_early, PLAIN),
    (written_one_early, FULL),
    (written_one_early, INT8),
    (ring_one_too_short, RING),
    (ring_slots_one_on, RING),
    (ring_slots_one_on, INT8_RING),
    (ring_one_too_short, LOCAL),
    (ring_one_too_long, LOCAL),
    (ring_slots_one_on, LOCAL),
    (ring_slots_one_on, SINK),
    (one_sink_too_few, SINK),
    (sink_window_one_too_wide, SINK),
    (last_sink_overwritten, SINK),
    (scale_of_the_position_before, INT8),
    (zero_point_off_by_eight, INT8),
    (own_keys_not_rounded, INT8_RING),
    (convolution_one_late, CONVOLUTION),
    (state_kept_at_the_start, CONVOLUTION),
    (state_kept_at_the_start, RECURRENCE),
]


@pytest.mark.parametrize(("fault", "cell"), FAULTS, ids=[f"{fault.__name__}-{'@'.join(cell)}" for fault, cell in FAULTS])
def test_a_fault_in_a_cache_is_found(monkeypatch, fault, cell):
    checkpoint(cell[0])
    fault(monkeypatch)
    driven = subject(cell)
    # What is left of an earlier walk may be the fault itself: then a walk does not fail again the same way, which is found,
    # too.
    with pytest.raises((WrongLogitsError, Flaky)):
        drive(driven, examples=200, shrink=False)
