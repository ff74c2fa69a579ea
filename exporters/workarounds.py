"""Workarounds of upstream's faults, each one decorated function: patches, which are taken back, and fixes of graphs.

A *patch* replaces a function of torch, transformers or ExecuTorch for the length of a ``with`` block::

    @register_patch("executorch.xnnpack", "package.module.Class.method")
    def method_without_the_fault(original):
        def method(self, *args):
            ...
        return method

A *fix* changes an exported graph in place, before it is lowered::

    @register_fx_program_fix("executorch")
    def spell_out(program):
        ...

    @register_fx_node_fix("executorch")
    def spell_out_a_node(graph_module, node):
        ...
        return True  # the node was dealt with; no other fix sees it

The backends are ``dynamo`` (every export of ``exporters.auto``), ``onnx``, ``executorch`` (every ``.pte``), and
``executorch.portable`` and ``executorch.xnnpack`` (those of a recipe). What is registered for a backend is applied in the order
of registration.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from exporters.errors import ExportError, unknown_option

BACKENDS = ("dynamo", "onnx", "executorch", "executorch.portable", "executorch.xnnpack")
"""What workarounds can be registered for."""

Factory = Callable[[Any], Any]
"""Takes the original and gives what stands in for it."""
NodeFix = Callable[[Any, Any], bool]
"""Takes a ``torch.fx.GraphModule`` and a node of it; true if it dealt with the node."""
ProgramFix = Callable[[Any], object]
"""Takes a ``torch.export.ExportedProgram`` and changes it in place."""
_Function = TypeVar("_Function", bound=Callable[..., Any])
_ABSENT = object()


@dataclass(frozen=True)
class Patch:
    """What stands in for the attribute at a dotted path."""

    path: str
    factory: Factory


_patches: dict[str, list[Patch]] = {}
_node_fixes: dict[str, list[NodeFix]] = {}
_program_fixes: dict[str, list[ProgramFix]] = {}


def register_patch(backend: str, *paths: str) -> Callable[[_Function], _Function]:
    """Register ``factory(original) -> replacement`` for the attributes at dotted paths.

    Of a class or static method the factory is given, and gives, the function within.

    Args:
        backend: One of ``BACKENDS``.
        paths: Such as ``torch.nn.functional.gelu`` or ``package.module.Class.method``. They are looked up when the patch is
            applied.

    Raises:
        ExportError: no such backend, or no path.
    """
    _check(backend)
    wrong = [path for path in paths if "." not in path.strip(".")]
    if not paths or wrong:
        raise ExportError(f"register_patch({backend!r}, {', '.join(map(repr, paths))}): give paths such as 'torch.split'.")

    def register(factory: _Function) -> _Function:
        _patches.setdefault(backend, []).extend(Patch(path, factory) for path in paths)
        return factory

    return register


def register_fx_node_fix(backend: str) -> Callable[[_Function], _Function]:
    """Register ``fix(graph_module, node) -> bool`` for the nodes of graphs that are exported for a backend."""
    _check(backend)

    def register(fix: _Function) -> _Function:
        _node_fixes.setdefault(backend, []).append(fix)
        return fix

    return register


def register_fx_program_fix(backend: str) -> Callable[[_Function], _Function]:
    """Register ``fix(program)`` for the ``ExportedProgram``s of a backend."""
    _check(backend)

    def register(fix: _Function) -> _Function:
        _program_fixes.setdefault(backend, []).append(fix)
        return fix

    return register


@contextlib.contextmanager
def apply_patches(backend: str) -> Iterator[None]:
    """Apply the patches of a backend inside a ``with`` block; afterwards everything is as before, also after an error.

    Blocks may be nested, and several patches may replace one attribute: each is given what the one before it left.

    Raises:
        ExportError: no such backend, or upstream no longer has what a patch replaces.
    """
    _check(backend)
    with contextlib.ExitStack() as stack:
        for patch in tuple(_patches.get(backend, ())):
            owner, name = _owner(patch.path)
            stack.enter_context(replaced((owner, name, _replacement(owner, name, patch.factory))))
        yield


def apply_fx_node_fixes(backend: str, graph_module: Any) -> int:
    """Offer every call in a graph, and in the graphs within it, to the node fixes of a backend, until one deals with it.

    What nothing uses any more is removed where a graph was changed.

    Returns:
        The number of nodes that were dealt with.
    """
    import torch

    _check(backend)
    fixes = tuple(_node_fixes.get(backend, ()))
    total = 0
    for module in list(graph_module.modules()):
        if not fixes or not isinstance(module, torch.fx.GraphModule):
            continue
        changed = 0
        for node in list(module.graph.nodes):
            if node.op == "call_function" and not node._erased:
                changed += any(fix(module, node) for fix in fixes)
        if changed:
            module.graph.eliminate_dead_code()
            module.recompile()
        total += changed
    return total


def apply_fx_program_fixes(backend: str, program: Any) -> None:
    """Run the program fixes of a backend over an ``ExportedProgram``, in place."""
    _check(backend)
    for fix in tuple(_program_fixes.get(backend, ())):
        fix(program)


@contextlib.contextmanager
def replaced(*replacements: tuple[Any, str, Any]) -> Iterator[None]:
    """Set attributes of modules and classes inside a ``with`` block.

    Args:
        replacements: Owner, name and value of each; an attribute that the owner itself did not have is removed afterwards.
    """
    with contextlib.ExitStack() as stack:
        for owner, name, value in replacements:
            before = vars(owner).get(name, _ABSENT)
            setattr(owner, name, value)
            stack.callback(delattr, owner, name) if before is _ABSENT else stack.callback(setattr, owner, name, before)
        yield


def _check(backend: str) -> None:
    if backend not in BACKENDS:
        raise unknown_option("backend", backend, BACKENDS)


def _owner(path: str) -> tuple[Any, str]:
    """The module or class that has the attribute at a path, and the attribute's name."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        try:
            owner = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        try:
            owner = functools.reduce(getattr, parts[length:-1], owner)
            getattr(owner, parts[-1])
        except AttributeError:
            break
        return owner, parts[-1]
    raise ExportError(f"there is no {path}, which a patch replaces; bring the patch in line with the installed version.")


def _replacement(owner: Any, name: str, factory: Factory) -> Any:
    held = vars(owner).get(name, _ABSENT)
    if isinstance(held, (classmethod, staticmethod)):
        return type(held)(factory(held.__func__))
    return factory(getattr(owner, name) if held is _ABSENT else held)
