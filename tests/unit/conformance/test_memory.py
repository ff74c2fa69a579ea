"""What calls leave behind is seen; what they take and give back is not."""

import mmap

import pytest
import torch

from conformance.compare import memory
from conformance.compare.memory import CALLS, MOST_BYTES, check_memory


def test_what_is_given_back_is_no_leak():
    assert check_memory(lambda: torch.zeros(10_000).add_(1), calls=1).status == "pass"


@pytest.mark.parametrize("numbers", [1, 1000])
@pytest.mark.parametrize("freed", [0, 64])
def test_a_tensor_that_is_kept_by_every_call_is_a_leak(numbers, freed):
    """Also after as many were freed, which the allocator has at hand."""
    kept = [torch.zeros(numbers) for _ in range(freed)]
    kept.clear()
    found = check_memory(lambda: kept.append(torch.zeros(numbers)), calls=1)
    assert found.status == "fail"
    assert found.metrics["bytes_per_call"] > MOST_BYTES
    assert "every call leaves" in found.message


def test_what_is_kept_once_is_no_leak():
    """A cache that fills, a pool that grows: the first calls may keep what they like."""
    kept = []

    def work():
        if len(kept) < CALLS:
            kept.append(torch.zeros(1000))

    assert check_memory(work, calls=1).status == "pass"


def test_where_bytes_are_not_counted_pages_are(monkeypatch):
    def no_library(_):
        raise AttributeError("mallinfo2")

    def touch():
        kept.append(mmap.mmap(-1, 1 << 20))  # what an allocator has in store is resident already
        kept[-1].write(bytes(1 << 20))

    memory._held.cache_clear()
    monkeypatch.setattr(memory.ctypes, "CDLL", no_library)
    kept = []
    try:
        assert check_memory(lambda: None, calls=1).metrics["limit_bytes"] == 4096
        assert check_memory(touch, calls=1).status == "fail"
    finally:
        memory._held.cache_clear()
