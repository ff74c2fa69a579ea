"""Models that are declared outside of the zoo: in the test files of another project.

Commands know the models of the test files in the directory they are typed in, in its ``tests`` and its ``tests/models``, or of
the files that ``$ZOO_MODELS`` names (separated as ``$PATH`` is). A file that mentions ``ModelConformance`` and assigns a
``Model(...)`` is imported. pytest needs none of this: it meets the models as it collects their tests.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import ZooError
from zoo.model import Model

VARIABLE = "ZOO_MODELS"
PLACES = (".", "tests", "tests/models")
"""Where test files are looked for."""
_ASSIGNMENT = re.compile(r"^(\w+)(?:: *\w+)? *= *(?:register\()?\s*Model\(", re.MULTILINE)
_importing: list[Path] = []


@dataclass(frozen=True)
class Declared:
    """A row and the file it is in."""

    model: Model
    file: Path


def here(directory: Path) -> Mapping[str, Declared]:
    """The models that a directory declares, by name.

    Raises:
        ZooError: a file cannot be imported, or a row contradicts itself.
    """
    if _importing:  # a test file asks the registry while it is imported
        return {}
    return _declared(directory, os.environ.get(VARIABLE, ""))


@functools.cache
def _declared(directory: Path, named: str) -> Mapping[str, Declared]:
    found: dict[str, Declared] = {}
    for file in _files(directory, named):
        for model in _models(file):
            known = found.get(model.name)
            if known is not None and known.model != model:
                raise ZooError(f"the model name {model.name!r} is declared twice: in {known.file} and {file}.")
            found.setdefault(model.name, Declared(model, file))
    return found


def _files(directory: Path, named: str) -> list[Path]:
    if named:
        files = [directory / part for part in named.split(os.pathsep) if part]
        for file in files:
            if not file.is_file():
                raise ZooError(f"${VARIABLE} names {file}, which does not exist.")
        return files
    return [file for place in PLACES for file in sorted((directory / place).glob("test_*.py")) if _declares(file)]


def _declares(file: Path) -> bool:
    text = file.read_text(encoding="utf-8", errors="replace")
    return "ModelConformance" in text and _ASSIGNMENT.search(text) is not None


def _models(file: Path) -> list[Model]:
    """The rows that a file assigns to variables, without those that are the zoo's."""
    from zoo import registry

    name = f"_zoo_declared_{hashlib.sha256(os.fsencode(file)).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    _importing.append(file)
    sys.path.insert(0, os.fspath(file.parent))  # as pytest does: test files import their neighbours
    try:
        spec.loader.exec_module(module)
    except ZooError:
        raise
    except Exception as error:
        raise ZooError(f"{file} cannot be imported: {type(error).__name__}: {error}.") from error
    finally:
        _importing.pop()
        sys.path.remove(os.fspath(file.parent))
    names = _ASSIGNMENT.findall(file.read_text(encoding="utf-8", errors="replace"))
    rows = [value for value in map(vars(module).get, names) if isinstance(value, Model)]
    own = [row for row in rows if registry.packaged().get(row.name) != row]
    for row in own:
        registry.check_declared(row)
    return own
