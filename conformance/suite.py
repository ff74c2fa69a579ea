"""``ModelConformance``: the tests that a model's test file inherits."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest

from conformance.errors import ConformanceError
from conformance.expectations import KnownFailure
from conformance.inert import inert
from conformance.matrix import configurations
from conformance.record import GenerationRecord, Record
from zoo import registry
from zoo.model import Model

GENERATION = (
    "text-generation",
    "text2text-generation",
    "automatic-speech-recognition",
    "image-text-to-text",
    "audio-text-to-text",
)
"""Tasks whose models write."""


class ModelConformance:
    """The conformance of one model, under each of its configurations.

    A subclass names its ``model`` and what is known to fail. Its own tests take the fixture ``record`` (everything that was
    found in the cell) or ``generation`` (what the program said to the reference prompts), and run for every configuration
    unless they are marked with ``pytest.mark.configurations("...")``.
    """

    model: ClassVar[Model]
    known_failures: ClassVar[tuple[KnownFailure, ...]] = ()

    def test_export(self, record: Record) -> None:
        """The checkpoint became a ``.pte``."""
        require(record, "export")

    def test_contract(self, record: Record) -> None:
        """The program has the methods, the metadata and the operators that were asked for."""
        require(record, "contract")

    @pytest.mark.tasks(*GENERATION, "fill-mask", "image-classification", "object-detection")
    def test_logits(self, record: Record) -> None:
        """The logits are those of eager PyTorch: teacher-forced ones, those of masked tokens, those of classes, of every query
        of a detector."""
        require(record, "logits")

    @pytest.mark.tasks(*GENERATION, "fill-mask")
    def test_tokens(self, record: Record) -> None:
        """Greedy decoding chooses, a mask is filled with, and a sound is transcribed with, the tokens that eager PyTorch
        chooses."""
        require(record, "tokens")

    @pytest.mark.tasks("image-classification")
    def test_classes(self, record: Record) -> None:
        """Every image has the class that eager PyTorch sees in it, and it is the right one."""
        require(record, "classes")

    @pytest.mark.tasks("object-detection")
    def test_boxes(self, record: Record) -> None:
        """Every image has the objects that eager PyTorch finds in it, and the right ones, of the same labels in the same
        places."""
        require(record, "boxes")

    @pytest.mark.tasks("feature-extraction")
    def test_hidden_states(self, record: Record) -> None:
        """The hidden states of questions and passages are those of eager PyTorch."""
        require(record, "hidden_states")

    @pytest.mark.tasks("feature-extraction")
    def test_retrieval(self, record: Record) -> None:
        """Every question finds the passage that eager PyTorch finds, and it is the right one."""
        require(record, "retrieval")

    @pytest.mark.wrappers("CausalLMExportableModule", "Seq2SeqLMExportableModule", "MultiModalTextToTextExportableModule")
    def test_cache_state(self, record: Record) -> None:
        """However a sequence is fed, the logits are the same; one token too many is refused."""
        require(record, "cache_state")

    @pytest.mark.wrappers("MultiModalTextToTextExportableModule")
    def test_encoder(self, record: Record) -> None:
        """The embeddings of images or sounds are those of eager PyTorch."""
        require(record, "encoder")

    @pytest.mark.wrappers("MultiModalTextToTextExportableModule")
    def test_runner(self, record: Record) -> None:
        """ExecuTorch's own runner says the same, or it is known why it cannot run such a program."""
        require(record, "runner")

    @pytest.mark.wrappers("Seq2SeqLMExportableModule")
    def test_source(self, record: Record) -> None:
        """Sources of every length, padded or not, are written about as eager PyTorch does; one that is too long is refused, and
        nothing of a source is left when the next one is read."""
        require(record, "source")

    @pytest.mark.wrappers(
        "MaskedLMExportableModule",
        "VisionEncoderExportableModule",
        "ObjectDetectionExportableModule",
        "CTCExportableModule",
    )
    def test_shapes(self, record: Record) -> None:
        """Texts of every length, padded or not, are answered as eager PyTorch does; what is too large is refused, and no call
        changes the next one."""
        require(record, "shapes")

    @pytest.mark.reduced
    def test_quality(self, record: Record) -> None:
        """Rounding costs little against fp32, and the cost is a number."""
        require(record, "quality")

    def test_baseline(self, record: Record) -> None:
        """Eager PyTorch's answers depend on what is asked, and those of a twin are what it was trained to say."""
        require(record, "baseline")

    def test_memory(self, record: Record) -> None:
        """Calls leave no memory behind."""
        require(record, "memory")

    def test_latency(self, record: Record) -> None:
        """Loading and calls were measured beside eager PyTorch."""
        require(record, "latency")


def require(record: Record, name: str) -> None:
    """Fail unless the check ``name`` was reached and passed; the message says what stopped it."""
    check = record.checks.get(name)
    if check is None:
        pytest.fail(unreached(record, name), pytrace=False)
    if check.status != "pass":
        pytest.fail(inert(f"{record.cell}: {name} {check.status}: {check.message}"), pytrace=False)


def unreached(record: Record, name: str) -> str:
    """Why a check was not reached, with the runtime's stderr."""
    lines = [f"{record.cell}: {name} was not reached."]
    if record.failure is None:
        return inert(f"{lines[0]} {record.status}: {record.reason}")
    lines.append(f"{record.status} at stage {record.failure.stage}: {record.failure.kind}: {record.failure.message}")
    if "known failure" in record.reason:
        lines.append(record.reason)
    if record.failure.stderr:
        lines += ["stderr:", *(f"  {line}" for line in record.failure.stderr)]
    if record.failure.traceback:
        lines += ["", record.failure.traceback.rstrip()]
    return inert("\n".join(lines))


def generations(record: Record) -> list[GenerationRecord]:
    """What the program said; fails if it never got there."""
    if not record.generations:
        pytest.fail(unreached(record, "generation"), pytrace=False)
    return record.generations


def suites(model: Model, tests: Path) -> list[type[ModelConformance]]:
    """The model's classes in its test file (``test_file``); none without such a file.

    Raises:
        ConformanceError: the file cannot be imported.
    """
    path = test_file(model, tests)
    if not path.is_file():
        return []
    name = f"_zoo_expectations_{model.family}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ConformanceError(f"{path} cannot be imported: {type(error).__name__}: {error}.") from error
    classes = (value for value in vars(module).values() if isinstance(value, type) and issubclass(value, ModelConformance))
    return [found for found in classes if found is not ModelConformance and found.model == model]


def test_file(model: Model, tests: Path) -> Path:
    """Where the tests of a model are: where it is declared, or in the file of its family under a directory of tests."""
    return registry.file_of(model.name) or tests / "models" / f"test_{model.family}.py"


def discover(model: Model, tests: Path) -> tuple[KnownFailure, ...]:
    """The known failures that the model's test file lists; none without such a file.

    Raises:
        ConformanceError: the file cannot be imported, or lists a failure of a configuration that is never run.
    """
    found = [entry for suite in suites(model, tests) for entry in suite.known_failures]
    check_known_failures(model, found)
    return tuple(found)


def with_known_failures(models: Iterable[Model], tests: Path) -> dict[Path, list[type[ModelConformance]]]:
    """The test files of models that list known failures, with the models' classes. Files that mention none are not imported.

    Raises:
        ConformanceError: as ``discover``.
    """
    found: dict[Path, list[type[ModelConformance]]] = {}
    for model in models:
        path = test_file(model, tests)
        if path.is_file() and "known_failures" in path.read_text(encoding="utf-8"):
            classes = suites(model, tests)
            check_known_failures(model, [entry for suite in classes for entry in suite.known_failures])
            found.setdefault(path, []).extend(classes)
    return found


def check_known_failures(model: Model, known: Sequence[KnownFailure]) -> None:
    """Refuse a known failure of a configuration that the model is never run under: nothing would ever notice it.

    Raises:
        ConformanceError: there is one.
    """
    ids = configurations(model)
    for failure in known:
        if not any(failure.covers(name) for name in ids):
            raise ConformanceError(
                f"{model.name}: KnownFailure({failure.configuration!r}) is of a configuration that is never run; known: "
                f"{', '.join(ids)}."
            )
