"""``OnnxProgram``: an ONNX graph with the options it is written with. Needs onnx, onnxscript and, to run, onnxruntime."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from pathlib import Path
from typing import Any

from exporters.auto.configs import OnnxConfig
from exporters.errors import ExportError
from exporters.writing import naming

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_installed() -> None:
    """Refuse to begin what could not be ended.

    Raises:
        ExportError: a package is missing.
    """
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"an export to ONNX needs {', '.join(missing)}; pip install 'executorch-zoo[onnx]'.")


class OnnxProgram:
    """A graph, and how it is written.

    Args:
        model: An ``onnx_ir.Model``.
        exported_program: The ``ExportedProgram`` it was made of.
        config: The options.
    """

    def __init__(self, model: Any, exported_program: Any, config: OnnxConfig) -> None:
        self.model = model
        self.exported_program = exported_program
        self.config = config
        self._session: Any = None

    @property
    def opset_version(self) -> int:
        """The version of ONNX's own operators in the graph."""
        return int(self.model.opset_imports[""])

    @property
    def inputs(self) -> list[str]:
        """The names of the graph's inputs."""
        return [str(value.name) for value in self.model.graph.inputs]

    @property
    def outputs(self) -> list[str]:
        """The names of the graph's outputs."""
        return [str(value.name) for value in self.model.graph.outputs]

    def check_opset(self) -> None:
        """Check that the graph has the opset that was asked for: torch keeps its own where it cannot convert.

        Raises:
            ExportError: it has another.
        """
        asked = self.config.opset_version
        if asked is not None and self.opset_version != asked:
            raise ExportError(
                f"opset_version {asked}: torch could not convert the graph and left it at {self.opset_version}; ask for that."
            )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the graph, and its weights to ``<path>.data`` if the configuration asks for it. Nothing half-written is left.

        Raises:
            OSError: the file cannot be written.
        """
        target = Path(path)
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as scratch:
            self._write(Path(scratch) / target.name)
            data = f"{target.name}.data"
            (target.parent / data).unlink(missing_ok=True)  # of an earlier export
            for file in Path(scratch).iterdir():
                file.replace(target.parent / file.name)

    def _write(self, path: Path) -> None:
        import onnx_ir

        graph = self.model.graph
        weights, inputs = dict(graph.initializers), list(graph.inputs)
        outside = self.config.external_data and self.config.export_params
        try:
            if self.config.keep_initializers_as_inputs:
                graph.inputs.extend(weights.values())
            if not self.config.export_params:
                graph.initializers.clear()
            onnx_ir.save(self.model, str(path), external_data=f"{path.name}.data" if outside else None)
        finally:
            graph.inputs.clear()
            graph.inputs.extend(inputs)
            graph.initializers.update(weights)

    def run(self, kwargs: dict[str, Any]) -> list[Any]:
        """The tensors that onnxruntime answers to the keyword arguments that were traced."""
        import torch
        from transformers.exporters.utils import onnx_feed

        session = self._open()
        names = [each.name for each in session.get_inputs()]
        feed = onnx_feed(names, kwargs)
        missing = [name for name in names if name not in feed]
        if missing:
            raise ExportError(f"no value for the inputs {', '.join(missing)} of the graph.")
        return [torch.from_numpy(each) for each in session.run(None, feed)]

    def __call__(self, **kwargs: Any) -> dict[str, Any]:
        """Run the graph: keyword arguments as they were exported, to the outputs by name."""
        return dict(zip(self.outputs, self.run(kwargs), strict=True))

    def _open(self) -> Any:
        if self._session is None:
            import onnx_ir
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3  # errors; it warns of weights that nothing uses
            providers = ["CPUExecutionProvider"]
            # From files: one message holds no more than 2 GB.
            with tempfile.TemporaryDirectory() as scratch:
                path = Path(scratch) / "model.onnx"
                with naming(path.parent.parent, "Set TMPDIR to a directory that can be written and has space."):
                    onnx_ir.save(self.model, str(path), external_data="model.onnx.data")
                self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        return self._session
