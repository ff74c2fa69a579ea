"""Weights of partitions."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from exporters.lowering.acceleration import acceleration
from exporters.workarounds import replaced


@acceleration(executorch="1.4.1", torch="2.13.0")
def weights_by_reference() -> Iterator[None]:
    """Give a backend the weights themselves, with its own copy of everything else.

    Upstream deep-copies each partition in case the backend changes its graph, and with it all weights. XNNPACK's passes put
    a changed weight under a name, and write into none; its serializer reads them. Other backends get upstream's copy.
    """
    from executorch.exir.backend import backend_api
    from torch.export import ExportedProgram

    class Copy:
        """The module ``copy`` for ``backend_api``."""

        copy = staticmethod(copy.copy)

        @staticmethod
        def deepcopy(value: Any) -> Any:
            if not isinstance(value, ExportedProgram):
                return copy.deepcopy(value)
            tensors = (*value.state_dict.values(), *value.constants.values())
            return copy.deepcopy(value, {id(tensor): tensor for tensor in tensors})

    stock = backend_api.lower_all_submodules_to_backend

    def lower_all_submodules_to_backend(backend_id: str, *args: Any, **kwargs: Any) -> Any:
        if backend_id != "XnnpackBackend":
            return stock(backend_id, *args, **kwargs)
        with replaced((backend_api, "copy", Copy())):
            return stock(backend_id, *args, **kwargs)

    with replaced((backend_api, "lower_all_submodules_to_backend", lower_all_submodules_to_backend)):
        yield
