"""Dependencies point one way: conformance -> exporters, conformance -> zoo."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "zoo": {"exporters", "conformance", "tests"},
    "exporters": {"zoo", "conformance", "tests"},
    "conformance": {"tests"},
}


def imported(path: Path) -> set[str]:
    """Top-level names of the packages that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", FORBIDDEN)
def test_a_package_imports_only_what_lies_below_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {path.relative_to(ROOT).as_posix(): imported(path) & FORBIDDEN[package] for path in files}
    assert {path: names for path, names in wrong.items() if names} == {}


def test_only_sessions_call_the_runtime():
    users = [path for path in (ROOT / "conformance").rglob("*.py") if "executorch.runtime" in path.read_text(encoding="utf-8")]
    assert {path.relative_to(ROOT / "conformance").as_posix() for path in users} == {
        "preload.py",
        "sessions/probe.py",
        "sessions/program.py",
    }


@pytest.mark.parametrize("name", ["eager_cache", "eager", "protocol"])
def test_the_reference_shares_no_cache_with_what_it_is_held_against(name):
    text = (ROOT / "conformance" / "sessions" / f"{name}.py").read_text(encoding="utf-8")
    modules = {node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)}
    assert not [module for module in modules if module.startswith(("exporters.attention", "exporters.wrappers"))]


def test_no_model_type_is_asked_for_outside_of_the_registry():
    sources = [path for package in ("exporters", "conformance") for path in (ROOT / package).rglob("*.py")]
    assert not [path for path in sources if "model_type ==" in path.read_text(encoding="utf-8")]


def test_the_command_line_and_pytests_own_process_do_not_load_torch():
    code = "import sys, conformance.cli, conformance.plugin; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
