"""The registry: discovers ``zoo/models/*.py`` and looks rows up."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from zoo import declared
from zoo.errors import ZooError, unknown
from zoo.model import IMAGE_TASKS, TASKS, TRAITS, Model

NAME = r"[a-z0-9][a-z0-9._-]*"
"""What a model may be called: its name is part of file names and test ids."""
_ROWS: dict[str, Model] = {}


def register(model: Model) -> Model:
    """Add ``model`` to the registry and return it, so that a module can name the row it registers.

    Raises:
        ZooError: the row contradicts itself, or its name is taken by a different row.
    """
    check(model)
    known = _ROWS.get(model.name)
    if known is not None and known != model:
        raise ZooError(f"the model name {model.name!r} is registered twice: in {known.family!r} and {model.family!r}.")
    _ROWS[model.name] = model
    return model


def check(model: Model) -> None:
    """Refuse a row that contradicts itself.

    Raises:
        ZooError: it does.
    """
    if not re.fullmatch(NAME, model.name):
        raise ZooError(f"{model.name!r} cannot name a model: use lower-case letters, digits and . _ -, such as 'olmo2-1b'.")
    if model.task not in TASKS:
        raise unknown("task", model.task, TASKS, hint=f"It is the task of the model {model.name!r}.")
    if model.wrapper not in TASKS[model.task]:
        wrappers = " or ".join(TASKS[model.task])
        raise ZooError(f"model {model.name!r}: the task {model.task!r} uses {wrappers}, not {model.wrapper!r}.")
    if model.has_twin and model.checkpoint is not None:
        raise ZooError(f"model {model.name!r} has a twin and a checkpoint that takes its place; leave one of them out.")
    if model.full and not model.has_twin:
        raise ZooError(f"model {model.name!r} states published dimensions (full=...) of no architecture; give it a twin.")
    if model.has_twin and (model.task in IMAGE_TASKS) != (model.twin.image_size is not None):
        raise ZooError(
            f"model {model.name!r}: models of images have Twin(image_size=...), and no others; its task is {model.task!r}."
        )
    for trait in model.traits:
        if trait not in TRAITS:
            raise unknown("trait", trait, TRAITS, hint=f"It is a trait of the model {model.name!r}.")
    if not model.methods:
        raise ZooError(f"model {model.name!r} expects no method; name at least one, such as methods=('forward',).")
    if len(set(model.reference_prompts)) < 2:
        raise ZooError(f"model {model.name!r} needs two different reference prompts; add one to prompts=(...).")


@functools.cache
def packaged() -> Mapping[str, Model]:
    """The rows of ``zoo/models``, by name.

    Raises:
        ZooError: a module cannot be imported, or a row names another family than its module.
    """
    found: dict[str, Model] = {}
    for name in (module.name for module in pkgutil.iter_modules(importlib.import_module("zoo.models").__path__)):
        before = set(_ROWS)
        try:
            module = importlib.import_module(f"zoo.models.{name}")
        except ZooError:
            raise
        except Exception as error:
            raise ZooError(f"zoo/models/{name}.py cannot be imported: {type(error).__name__}: {error}.") from error
        for row in set(_ROWS) - before:
            if _ROWS[row].family != name:
                family = _ROWS.pop(row).family
                raise ZooError(f"model {row!r} in zoo/models/{name}.py says family={family!r}; say {name!r}.")
        found |= {row.name: row for row in vars(module).values() if isinstance(row, Model)}
        found |= {row: _ROWS[row] for row in set(_ROWS) - before}
    return MappingProxyType(found)


def models() -> Mapping[str, Model]:
    """Every row by name, in the order of the names: the zoo's, and those that are declared here (``zoo.declared``)."""
    packaged()
    own = {name: row.model for name, row in declared.here(Path.cwd()).items()}
    return MappingProxyType(dict(sorted({**_ROWS, **own}.items())))


def home() -> Mapping[str, Model]:
    """The rows that commands mean when no model is named, and that reports show: those that are declared here if there are
    any, else all."""
    own = declared.here(Path.cwd())
    return MappingProxyType({name: model for name, model in models().items() if not own or name in own})


def file_of(name: str) -> Path | None:
    """The test file here that declares a model; ``None`` of the zoo's own."""
    found = declared.here(Path.cwd()).get(name)
    return None if found is None else found.file


def check_declared(model: Model) -> None:
    """Refuse a row of a test file that contradicts itself, or whose name the zoo has given to another one.

    Raises:
        ZooError: it does.
    """
    check(model)
    if packaged().get(model.name, model) != model:
        raise ZooError(f"the model name {model.name!r} is taken by the zoo; choose another.")


def get(name: str) -> Model:
    """The row called ``name``.

    Raises:
        ZooError: there is no such row; the message names the nearest ones.
    """
    rows = models()
    if name not in rows:
        raise unknown("model", name, rows, hint="'zoo list' shows them all; 'zoo new' adds a family.")
    return rows[name]


def by_task(task: str) -> tuple[Model, ...]:
    """The rows of a task.

    Raises:
        ZooError: the suite has no such task.
    """
    if task not in TASKS:
        raise unknown("task", task, TASKS)
    return tuple(model for model in models().values() if model.task == task)


def select(names: tuple[str, ...]) -> tuple[Model, ...]:
    """The rows that ``names`` ask for, each a model's name or a family's; ``home()`` when it is empty.

    Raises:
        ZooError: a name is neither; the message names the nearest ones.
    """
    rows = models()
    if not names:
        return tuple(home().values())
    families = {model.family for model in rows.values()}
    chosen: dict[str, Model] = {}
    for name in names:
        if name not in rows and name not in families:
            raise unknown("model or family", name, set(rows) | families, hint="'zoo list' shows them all.")
        chosen |= {row.name: row for row in rows.values() if name in (row.name, row.family)}
    return tuple(chosen.values())
