"""How much memory there is: the machine's, or what a control group leaves of it."""

import psutil
import pytest

from conformance import container
from conformance.worker import Limits

GIB = 1 << 30


def tree(root, groups, limits):
    """A file system with the groups of a process, and what each allows."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for path, text in limits.items():
        (root / "sys/fs/cgroup" / path).parent.mkdir(parents=True, exist_ok=True)
        (root / "sys/fs/cgroup" / path).write_text(text)
    return root


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": f"{2 * GIB}\n"}, [2 * GIB]),
        ("0::/\n", {"memory.max": "max\n"}, []),
        ("0::/user/job\n", {"user/job/memory.max": f"{4 * GIB}\n", "user/memory.max": f"{3 * GIB}\n"}, [4 * GIB, 3 * GIB]),
        ("0::/another/name\n", {"memory.max": f"{GIB}\n"}, [GIB]),
        (
            "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/\n",
            {"memory/memory.limit_in_bytes": f"{GIB}\n", "cpu,cpuacct/docker/1f/memory.limit_in_bytes": "1\n"},
            [GIB],
        ),
        ("0::/\n", {}, []),
    ],
    ids=["version 2", "no limit", "an ancestor's", "a container's", "version 1", "no file"],
)
def test_limits_of_control_groups_are_read(tmp_path, groups, limits, expected):
    assert container.group_limits(tree(tmp_path, groups, limits)) == expected


def test_a_system_without_control_groups_has_no_such_limit(tmp_path):
    assert container.group_limits(tmp_path) == []


def test_a_cell_may_use_most_of_what_its_container_has(monkeypatch):
    monkeypatch.setattr(container, "group_limits", lambda: [2 * GIB, 1 << 63])
    container.usable_bytes.cache_clear()
    try:
        assert Limits().effective_memory_bytes == int(0.8 * 2 * GIB)
        assert Limits(memory_bytes=5).effective_memory_bytes == 5
    finally:
        container.usable_bytes.cache_clear()
    assert container.usable_bytes() <= psutil.virtual_memory().total
