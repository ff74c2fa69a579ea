"""The wheel in another project: the example of docs/elsewhere.md, with nothing of the source tree within reach."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("zoo", "exporters", "conformance")
BROKEN = """
from pathlib import Path

from conformance import ModelConformance
from test_mymodel import MYMODEL
from zoo import Model

BROKEN = Model(
    name="broken",
    family="broken",
    task=MYMODEL.task,
    wrapper=MYMODEL.wrapper,
    methods=MYMODEL.methods,
    prompts=MYMODEL.prompts,
    checkpoint=Path(__file__).parent / "pickled",
)


class TestBroken(ModelConformance):
    model = BROKEN
"""
"""A model whose weights are pickled."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from a copy of the sources so that they stay as they are."""
    source = tmp_path_factory.mktemp("source")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    target = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", os.fspath(source), "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "--quiet", "--wheel-dir", os.fspath(target)], check=True)
    (path,) = target.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def project(wheel, tmp_path_factory, gemma3_twin):
    """Another repository with the example's test file and a broken model; ``project.run`` runs a program of an environment
    that has the wheel and what it needs."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "ZOO_MODELS")}
    place = tmp_path_factory.mktemp("elsewhere")
    venv.create(place / "venv", symlinks=True)
    python = place / "venv" / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", os.fspath(python), "install", "--quiet", "--no-deps", "--no-index", wheel],
        check=True,
        env=environment,
    )
    scheme = {"base": os.fspath(place / "venv"), "platbase": os.fspath(place / "venv")}
    site = Path(sysconfig.get_path("purelib", "venv" if "venv" in sysconfig.get_scheme_names() else None, vars=scheme))
    # A directory named in a .pth file is searched for packages; the .pth files in it, such as of this project, do not count.
    (site / "stack.pth").write_text("\n".join(dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))))
    tests = place / "repository" / "tests"
    tests.mkdir(parents=True)
    text = (ROOT / "docs" / "elsewhere.md").read_text(encoding="utf-8")
    (tests / "test_mymodel.py").write_text(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    (tests / "test_broken.py").write_text(BROKEN, encoding="utf-8")
    shutil.copytree(gemma3_twin, tests / "mymodel", ignore=shutil.ignore_patterns("manifest.json", "reference.json"))
    (tests / "pickled").mkdir()
    shutil.copy(gemma3_twin / "config.json", tests / "pickled")
    (tests / "pickled" / "pytorch_model.bin").write_bytes(b"pickled")

    def run(program, *arguments):
        command = [os.fspath(python), "-m", "pytest"] if program == "pytest" else [os.fspath(python.parent / program)]
        return subprocess.run(
            [*command, *arguments], cwd=tests.parent, env=environment, capture_output=True, text=True, timeout=600, check=False
        )

    return SimpleNamespace(run=run, root=tests.parent, environment=place / "venv")


@pytest.fixture(scope="module")
def ran(project):
    """What pytest said of both models under one configuration, and where it left the records."""
    done = project.run("pytest", "-k", "xnnpack-fp32]", "-p", "no:cacheprovider")
    found = re.search(r"^records: (.+)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    return SimpleNamespace(out=done.stdout, code=done.returncode, records=found[1])


def test_the_package_is_the_wheels(project):
    code = "import conformance, exporters, zoo; print(conformance.__file__, exporters.__file__, zoo.__file__)"
    done = subprocess.run(
        [project.environment / "bin" / "python", "-c", code],
        cwd=project.root,
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(place.startswith(os.fspath(project.environment)) for place in done.stdout.split())


def test_every_file_that_is_no_code_is_in_the_wheel(project, wheel):
    import zipfile

    listed = set(zipfile.ZipFile(wheel).namelist())
    files = {
        path.relative_to(ROOT).as_posix()
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert files - listed == set()


def test_the_example_passes_and_a_broken_model_says_why(ran):
    assert ran.code == 1
    assert "pass           mymodel@xnnpack-fp32" in ran.out
    assert not re.search(r"FAILED .*TestMyModel", ran.out)
    assert re.search(r"FAILED tests/test_broken.py::TestBroken::test_export\[xnnpack-fp32\]", ran.out)
    assert "tests/pickled has no *.safetensors weights (pytorch_model.bin is pickled and never loaded)" in ran.out
    assert "fail at stage resolve" in ran.out


def test_k_selects_the_model(project):
    done = project.run("pytest", "-k", "mymodel and xnnpack-fp32]", "--collect-only", "-q", "-p", "no:cacheprovider")
    chosen = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(chosen) >= 6
    assert all("TestMyModel" in line for line in chosen)


def test_the_command_knows_the_models_of_the_test_files(project):
    assert "tests/test_mymodel.py" in project.run("zoo", "show", "mymodel").stdout.replace("\n", "")
    rows = project.run("zoo", "matrix").stdout.splitlines()
    assert {row.split()[0] for row in rows if row.endswith("  runs")} == {"mymodel", "broken"}
    assert "smollm2-135m" in project.run("zoo", "list").stdout
    refused = project.run("zoo", "run", "mymodle")
    assert refused.returncode == 2
    assert "Did you mean 'mymodel'" in refused.stderr


def test_there_is_a_matrix_of_its_own_models(project, ran):
    (project.root / "README.md").write_text("<!-- support-matrix:begin -->\n<!-- support-matrix:end -->\n")
    done = project.run("zoo", "report", "--records", ran.records)
    assert done.returncode == 0, done.stderr
    matrix = (project.root / "README.md").read_text(encoding="utf-8")
    assert "[mymodel](reports/support/mymodel.md)" in matrix
    assert "smollm2" not in matrix
    assert "1 × fail" in matrix
    assert project.run("zoo", "report", "--check", "--records", ran.records).returncode == 0
    pages = "".join(path.read_text(encoding="utf-8") for path in (project.root / "reports").rglob("*.md"))
    assert "docs/reading-the-matrix.md" not in pages
    assert project.run("zoo", "report", "--html", "out.html", "--records", ran.records).returncode == 0
    assert "mymodel" in (project.root / "out.html").read_text(encoding="utf-8")


def test_there_is_a_gate_over_its_own_baselines(project, ran):
    assert project.run("zoo", "baseline", "--update", "--launches", "0", "--records", ran.records).returncode == 0
    gate = ("gate", "--no-latency", "-c", "xnnpack-fp32", "--records", ran.records)
    assert "gate passed: 2 cells" in project.run("zoo", *gate).stdout
    path = project.root / "reports" / "baselines" / "broken.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"fail"', '"pass"'), encoding="utf-8")
    failed = project.run("zoo", *gate)
    assert failed.returncode == 1
    assert "broken" in failed.stdout
