"""How exported programs are lowered: one file a recipe, each with ``prepare(model, config)`` and ``partitioners(config)``, and
with its workarounds registered for its ``BACKEND`` (``exporters.workarounds``)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from exporters.config import ExportConfig
from exporters.workarounds import apply_fx_node_fixes, apply_fx_program_fixes, apply_patches


def _recipe(config: ExportConfig) -> Any:
    from exporters.recipes import portable, xnnpack

    return {"portable": portable, "xnnpack": xnnpack}[config.recipe]


def prepare(model: Any, config: ExportConfig) -> None:
    """Bring a quantized model into the form that the recipe has kernels for, in place."""
    _recipe(config).prepare(model, config)


def fix(config: ExportConfig, program: Any) -> None:
    """Run the fixes of ExecuTorch and then those of the recipe over an ``ExportedProgram`` to be lowered, in place."""
    for backend in _backends(config):
        apply_fx_program_fixes(backend, program)
        apply_fx_node_fixes(backend, program.graph_module)


def partitioners(config: ExportConfig) -> list[Any]:
    """The ExecuTorch partitioners of the recipe, in the order they are applied."""
    found: list[Any] = _recipe(config).partitioners(config)
    return found


@contextlib.contextmanager
def patched(config: ExportConfig) -> Iterator[None]:
    """A context in which lowering does what it should, where upstream does not."""
    with contextlib.ExitStack() as stack:
        for backend in _backends(config):
            stack.enter_context(apply_patches(backend))
        yield


def _backends(config: ExportConfig) -> tuple[str, str]:
    return "executorch", str(_recipe(config).BACKEND)
