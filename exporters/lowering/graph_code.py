"""The Python code of graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced

GENERATED = ("forward", "_code", "_lineno_map", "_prologue_start")
"""What ``GraphModule.recompile`` generates."""


class _OnDemand:
    """Stands on a graph module's own class for something generated, and generates it when it is read."""

    def __init__(self, name: str, generate: Callable[[Any], None]) -> None:
        self.name = name
        self.generate = generate

    def __get__(self, module: Any, owner: type) -> Any:
        if module is None:
            return self
        self.generate(module)
        return getattr(module, self.name)

    def __set__(self, module: Any, value: Any) -> None:
        module.__dict__[self.name] = value


class _PythonCode:
    """What ``recompile`` returns, ``torch.fx.graph.PythonCode``, generated when it is read."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module._graph.python_code(root_module="self"), name)


@acceleration(torch="2.13.0")
def code_on_demand() -> Iterator[None]:
    """Generate and compile a graph's ``forward`` when it is called or its code is read.

    Upstream does so after each pass, and again for all submodules whenever the outer graph changes, while passes,
    partitioners and emitters walk the nodes and never call it. The code is a function of the graph: whoever asks for it, in
    the block or after it, gets what upstream generates from that graph.
    """
    from torch.fx.graph import _PyTreeCodeGen
    from torch.fx.graph_module import GraphModule

    stock = GraphModule.recompile

    def generate(module: Any) -> None:
        for name in GENERATED:
            if isinstance(vars(type(module)).get(name), _OnDemand):
                delattr(type(module), name)
        stock(module)

    def recompile(module: Any) -> _PythonCode:
        if isinstance(module._graph._codegen, _PyTreeCodeGen):
            module._in_spec = module._graph._codegen.pytree_info.in_spec
            module._out_spec = module._graph._codegen.pytree_info.out_spec
        for name in GENERATED:
            setattr(type(module), name, _OnDemand(name, generate))  # the class is this module's alone
        setattr(type(module), "__reduce__", reduce)  # noqa: B010 - mypy takes the class for GraphModule itself
        return _PythonCode(module)

    def reduce(module: Any) -> Any:
        generate(module)  # a graph module is pickled as its code
        return GraphModule.__reduce__(module)

    with replaced((GraphModule, "recompile", recompile)):
        yield
