"""The registry: discovers ``zoo/models/*.py`` and looks rows up."""

from __future__ import annotations

import functools
import importlib
import pkgutil
import re
from collections.abc import Mapping
from types import MappingProxyType

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
    if not re.fullmatch(NAME, model.name):
        raise ZooError(f"{model.name!r} cannot name a model: use lower-case letters, digits and . _ -, such as 'olmo2-1b'.")
    if model.task not in TASKS:
        raise unknown("task", model.task, TASKS, hint=f"It is the task of the model {model.name!r}.")
    if model.wrapper not in TASKS[model.task]:
        wrappers = " or ".join(TASKS[model.task])
        raise ZooError(f"model {model.name!r}: the task {model.task!r} uses {wrappers}, not {model.wrapper!r}.")
    if (model.task in IMAGE_TASKS) != (model.twin.image_size is not None):
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
    known = _ROWS.get(model.name)
    if known is not None and known != model:
        raise ZooError(f"the model name {model.name!r} is registered twice: in {known.family!r} and {model.family!r}.")
    _ROWS[model.name] = model
    return model


@functools.cache
def _discover() -> None:
    for module in pkgutil.iter_modules(importlib.import_module("zoo.models").__path__):
        before = set(_ROWS)
        try:
            importlib.import_module(f"zoo.models.{module.name}")
        except ZooError:
            raise
        except Exception as error:
            raise ZooError(f"zoo/models/{module.name}.py cannot be imported: {type(error).__name__}: {error}.") from error
        for name in set(_ROWS) - before:
            if _ROWS[name].family != module.name:
                family = _ROWS.pop(name).family
                raise ZooError(f"model {name!r} in zoo/models/{module.name}.py says family={family!r}; say {module.name!r}.")


def models() -> Mapping[str, Model]:
    """Every row by name, in the order of the names."""
    _discover()
    return MappingProxyType(dict(sorted(_ROWS.items())))


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
    """The rows that ``names`` ask for, each a model's name or a family's; all rows when it is empty.

    Raises:
        ZooError: a name is neither; the message names the nearest ones.
    """
    rows = models()
    if not names:
        return tuple(rows.values())
    families = {model.family for model in rows.values()}
    chosen: dict[str, Model] = {}
    for name in names:
        if name not in rows and name not in families:
            raise unknown("model or family", name, set(rows) | families, hint="'zoo list' shows them all.")
        chosen |= {row.name: row for row in rows.values() if name in (row.name, row.family)}
    return tuple(chosen.values())
