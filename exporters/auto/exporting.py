"""The exporters: one a format, and the one that picks among them."""

from __future__ import annotations

import inspect
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from exporters.auto.configs import AutoExportConfig, DynamoConfig, ExecutorchConfig, OnnxConfig
from exporters.auto.decomposition import decompose_for_generation
from exporters.errors import ExportError, unknown_option

if TYPE_CHECKING:
    from exporters.auto.onnx_program import OnnxProgram

NOT_EXPORTABLE = ("flash", "flex", "paged")
"""Attention implementations of transformers begin with one of these if ``torch.export`` cannot trace them."""


class Exporter(ABC):
    """Exports models to one format."""

    config_class: ClassVar[type[DynamoConfig]]

    def export(self, model: Any, inputs: Mapping[str, Any], *, config: DynamoConfig | Mapping[str, Any] | None = None) -> Any:
        """Export a model as its inputs call it, and check what came of it.

        Args:
            model: A transformers model, or a module of one, in evaluation mode.
            inputs: The keyword arguments of its ``forward``, as a tokenizer or processor gives them. Sizes that shall be
                dynamic must not be 1.
            config: This exporter's configuration, or a mapping of its fields; ``None`` takes the defaults.

        Returns:
            The program; its type is the format's.

        Raises:
            ExportError: something asked for cannot be honoured, or the program does not answer what the model answers.
            Exception: whatever torch.export, torch.onnx or ExecuTorch raise.
        """
        return self._export(model, inputs, self._config(config), required=True)

    def export_for_generation(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        config: DynamoConfig | Mapping[str, Any] | None = None,
        *,
        multi_token_decode: bool = False,
    ) -> dict[str, Any]:
        """Export the components of a model that generates, each on its own, and check each.

        Args:
            model: A transformers model with ``generate``.
            inputs: What one would give to ``generate``.
            config: As for ``export``, for every component, with ``output_path`` a directory; or a mapping of a configuration to
                each component by name.
            multi_token_decode: Let ``decode`` take several tokens a call.

        Returns:
            Component: its program. ``exporters.auto.decompose_for_generation`` says which there are.
        """
        components = decompose_for_generation(model, inputs, multi_token_decode=multi_token_decode)
        configs = self._configs(config, components)
        return {
            name: self._export(module, kwargs, configs[name], required=False, name=name)
            for name, (module, kwargs) in components.items()
        }

    def _export(
        self, model: Any, inputs: Mapping[str, Any], config: DynamoConfig, *, required: bool, name: str = "the program"
    ) -> Any:
        inputs = dict(inputs)
        self._check_model(model, inputs)
        program, traced, run = self._make(model, inputs, config)
        self._check_dynamic(traced, config, required=required, name=name)
        if config.check:
            from exporters.auto.checking import check

            check(run, traced, model, inputs, name, self._leaves())
        return self._deliver(program, config)

    @abstractmethod
    def _make(self, model: Any, inputs: dict[str, Any], config: Any) -> tuple[Any, Any, Any]:
        """The program, the ``ExportedProgram`` it was made of, and what runs it (``exporters.auto.checking.Run``)."""

    def _deliver(self, program: Any, config: Any) -> Any:
        return program

    def _leaves(self) -> Any:
        from exporters.auto.checking import tensors

        return tensors

    def _config(self, config: DynamoConfig | Mapping[str, Any] | None) -> DynamoConfig:
        if config is None:
            return self.config_class()
        if isinstance(config, Mapping):
            return self.config_class.from_dict(config)
        if type(config) is not self.config_class:
            raise ExportError(
                f"{type(self).__name__} takes a {self.config_class.__name__}, and the configuration is a "
                f"{type(config).__name__}; AutoExporter.from_config picks the exporter that belongs to it."
            )
        return config

    def _configs(self, config: DynamoConfig | Mapping[str, Any] | None, components: Iterable[str]) -> dict[str, DynamoConfig]:
        names = list(components)
        if not isinstance(config, Mapping) or not set(config) & set(names):
            return dict.fromkeys(names, self._config(config))
        for name in config:
            if name not in names:
                raise unknown_option("component", name, names)
        missing = [name for name in names if name not in config]
        if missing:
            raise ExportError(f"no configuration for {', '.join(missing)}; give one for each of {', '.join(names)}.")
        return {name: self._config(config[name]) for name in names}

    def _check_model(self, model: Any, inputs: Mapping[str, Any]) -> None:
        if not inputs:
            raise ExportError(
                "no inputs; give what a tokenizer or processor makes, such as tokenizer('Hello', return_tensors='pt')."
            )
        if model.training:
            raise ExportError(
                f"{type(model).__name__} is in training mode, and its dropout would be exported; call model.eval()."
            )
        attention = str(getattr(getattr(model, "config", None), "_attn_implementation", None) or "")
        if attention.startswith(NOT_EXPORTABLE):
            raise ExportError(
                f"attention {attention!r} cannot be traced; call model.set_attn_implementation('sdpa') or 'eager'."
            )
        parameters = inspect.signature(model.forward).parameters
        takes_all = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
        for name in inputs:
            if name not in parameters and not takes_all:
                raise unknown_option(f"input of {type(model).__name__}", name, parameters)

    def _check_dynamic(self, traced: Any, config: DynamoConfig, *, required: bool, name: str) -> None:
        from exporters.auto.checking import dynamic_dimensions

        if not config.dynamic and config.dynamic_shapes is None:
            return
        if dynamic_dimensions(traced):
            return
        line = (
            f"{name}: every dimension became a constant, although they were to be dynamic: of size 1 in the sample inputs, or "
            "fixed by the model's code. Give larger sample inputs, or export without dynamic."
        )
        if required:
            raise ExportError(line)
        warnings.warn(line, RuntimeWarning, stacklevel=4)


class DynamoExporter(Exporter):
    """Exports to a ``torch.export.ExportedProgram``."""

    config_class = DynamoConfig

    def _make(self, model: Any, inputs: dict[str, Any], config: DynamoConfig) -> tuple[Any, Any, Any]:
        from exporters.auto import tracing
        from exporters.auto.checking import tensors

        program = tracing.trace(model, inputs, config)
        return program, program, lambda kwargs: list(tensors(program.module()(**kwargs)).values())


class OnnxExporter(Exporter):
    """Exports to an ``OnnxProgram``: ``save`` writes it, calling it runs it in onnxruntime."""

    config_class = OnnxConfig

    def _make(self, model: Any, inputs: dict[str, Any], config: OnnxConfig) -> tuple[OnnxProgram, Any, Any]:
        from exporters.auto.onnx_program import OnnxProgram, check_installed

        check_installed()
        from exporters.auto import tracing

        graph, traced = tracing.to_onnx(model, inputs, config)
        program = OnnxProgram(graph, traced, config)
        program.check_opset()
        return program, traced, program.run

    def _leaves(self) -> Any:
        from exporters.auto.decomposition import get_leaf_tensors

        return get_leaf_tensors

    def _deliver(self, program: OnnxProgram, config: OnnxConfig) -> OnnxProgram:
        if config.output_path is not None:
            program.save(config.output_path)
        return program

    def _configs(self, config: Any, components: Iterable[str]) -> dict[str, DynamoConfig]:
        names = list(components)
        configs = super()._configs(config, names)
        paths = [each.output_path for each in configs.values() if isinstance(each, OnnxConfig) and each.output_path is not None]
        if len(paths) != len({str(path) for path in paths}):
            raise ExportError(
                f"output_path {str(paths[0])!r} is one file, and there are {len(names)} components; save() each of them."
            )
        return configs


class ExecutorchExporter(Exporter):
    """Exports to an ``executorch.exir.ExecutorchProgramManager`` with one method, ``forward``."""

    config_class = ExecutorchConfig

    def _make(self, model: Any, inputs: dict[str, Any], config: ExecutorchConfig) -> tuple[Any, Any, Any]:
        from exporters import pipeline
        from exporters.auto import tracing
        from exporters.config import ExportConfig
        from exporters.lowering import lowering

        asked = ExportConfig(recipe=config.backend)
        pipeline.register_operators()
        with tracing.for_executorch(model, inputs, config) as traced, lowering():
            lowered = pipeline.Traced({"forward": traced}, {}, type(model).__name__, None, [])
            program = pipeline.emit(pipeline.lower(lowered, asked), asked)
        return program, traced, _runtime(program)


def _runtime(program: Any) -> Any:
    """What runs an ``ExecutorchProgramManager``."""
    import torch
    from torch.utils import _pytree

    def run(kwargs: dict[str, Any]) -> list[Any]:
        from executorch.runtime import Runtime

        leaves = [leaf.contiguous() if isinstance(leaf, torch.Tensor) else leaf for leaf in _pytree.tree_leaves(kwargs)]
        loaded = Runtime.get().load_program(program.buffer)  # has the weights, which its method does not keep
        # The runtime's tensors lie in its own memory, which goes with the method.
        return [each.clone() for each in loaded.load_method("forward").execute(leaves) if isinstance(each, torch.Tensor)]

    return run


EXPORTERS: Mapping[str, type[Exporter]] = {
    each.config_class.export_format: each for each in (ExecutorchExporter, DynamoExporter, OnnxExporter)
}
"""The exporter of each format."""


class AutoExporter:
    """Picks the exporter that a configuration belongs to."""

    @classmethod
    def from_config(cls, config: DynamoConfig | Mapping[str, Any]) -> Exporter:
        """The exporter of a configuration, or of a mapping that ``AutoExportConfig.from_dict`` takes.

        Raises:
            ExportError: the mapping is not a configuration.
        """
        checked = config if isinstance(config, DynamoConfig) else AutoExportConfig.from_dict(config)
        return EXPORTERS[checked.export_format]()

    @classmethod
    def export(cls, model: Any, inputs: Mapping[str, Any], *, config: DynamoConfig | Mapping[str, Any]) -> Any:
        """``Exporter.export`` of the exporter that the configuration belongs to."""
        return cls.from_config(config).export(model, inputs, config=config)


AutoHfExporter = AutoExporter
"""transformers' name."""
